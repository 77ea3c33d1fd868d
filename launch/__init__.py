"""The `surgstream` command and the ways to start it on a cluster. Needs no torch."""
