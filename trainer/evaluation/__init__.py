"""Scores of predictions, for login nodes and laptops as well; imports nothing heavy."""
