"""The other ends, written from the public specifications: devices, a town, a ledger, the demo."""
