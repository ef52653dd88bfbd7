"""Screens: what stands in texts and names that should not. Each is a file; all answer with hits (hit.py)."""
