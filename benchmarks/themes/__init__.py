"""The themes of `surgstream bench`, one module each."""
