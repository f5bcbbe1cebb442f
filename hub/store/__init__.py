"""The hub's store: what ingest has committed, and the questions pages and API ask of it."""
