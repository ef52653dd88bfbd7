"""Where attempts run: a file per executor, all of one shape (executor.py)."""
