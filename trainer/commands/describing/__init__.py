"""What `surgstream describe` says: its page, and its warnings."""
