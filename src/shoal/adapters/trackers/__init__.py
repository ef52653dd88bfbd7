"""Trackers: where people follow work who do not look here. One file per kind, all of the shape in tracker.py."""
