"""Other ways to do what surgstream does, one module each: `pip install 'surgstream[peers]'`."""
