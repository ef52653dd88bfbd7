"""Markdown files, and what they say of other files: links, anchors, commands, paths. The check: ../doc_health.py."""
