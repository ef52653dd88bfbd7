"""The outside world: a folder per kind, a file per member, all of one shape."""
