"""The archives that the suites are made of: readers, public tasks, development tables, and tasks by name."""
