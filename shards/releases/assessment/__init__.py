"""Releases that judge: skill, safety and findings."""
