"""All tiny recipes at equal operations on synthetic operations, judged by probes: the table, and what makes it."""
