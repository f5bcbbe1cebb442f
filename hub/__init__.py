"""The city's process: broker, ingest, store, API and pages."""
