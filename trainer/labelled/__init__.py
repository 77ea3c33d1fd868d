"""The labelled clips of a task: which frames they end with, what is true of them, and what was predicted for them."""
