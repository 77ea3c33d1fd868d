"""From reports to problems, to a table and a verdict: pure, a module for each kind of thing that can be wrong."""
