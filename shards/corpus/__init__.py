"""What a corpus file says, and the videos and labels that it means."""
