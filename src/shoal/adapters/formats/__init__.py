"""Task lists as files: each format reads lines into tasks and writes tasks into text."""

from __future__ import annotations

from shoal.adapters.formats import csv, jsonl, markdown
from shoal.adapters.formats.line import Format, Line

FORMATS: dict[str, Format] = {"jsonl": jsonl, "csv": csv, "markdown": markdown}

__all__ = ["FORMATS", "Format", "Line"]
