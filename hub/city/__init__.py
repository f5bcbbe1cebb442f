"""The hub towards other city platforms: its records in their models. Pure; hub.api serves them."""
