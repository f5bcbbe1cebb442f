"""The production engine of the hub's store: PostgreSQL 15 or newer, for any number of hub processes at once."""
