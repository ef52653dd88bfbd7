"""The vault's files: markdown with front matter."""
