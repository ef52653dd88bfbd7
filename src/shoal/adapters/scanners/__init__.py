"""Scanners: what in a project's files stands for work. Each is a file; what they find is model/found.py's."""
