"""A project's own rules for its files: how they are written down and applied. The check: ../convention_scan.py."""
