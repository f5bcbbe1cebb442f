"""The embedded engine of the hub's store: one SQLite file."""
