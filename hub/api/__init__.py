"""The hub over HTTP: JSON API, NGSI-LD, and the console's pages. Routes are thin; policy decides each."""
