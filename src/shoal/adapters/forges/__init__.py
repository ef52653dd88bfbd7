"""Forges: where repositories are kept and pull requests are made. One file per kind, all of the shape in forge.py."""
