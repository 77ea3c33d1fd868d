"""The online probe on a task: some clips of its training videos are fitted, some of its validation videos judged."""
