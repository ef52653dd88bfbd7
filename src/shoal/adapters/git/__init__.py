"""The git program: one repository, and what it is given to log in with. The other adapters act through it."""
