"""The backend: from edits to a module of the same class."""
