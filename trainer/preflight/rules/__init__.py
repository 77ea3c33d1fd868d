"""From reports to problems: pure rules, a module for each kind of thing that can be wrong."""
