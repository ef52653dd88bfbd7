"""How rows are read and written, on SQLite and PostgreSQL, and nothing of what they mean."""
