"""The corpus file, and the videos and labels that it means."""
