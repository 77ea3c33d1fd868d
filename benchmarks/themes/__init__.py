"""What `surgstream bench` measures, a theme each."""
