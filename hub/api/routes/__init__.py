"""One file a subject; each route asks hub.policy before it asks the store."""
