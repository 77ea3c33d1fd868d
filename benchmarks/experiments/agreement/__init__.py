"""What it costs ranks to agree when to stop or save."""
