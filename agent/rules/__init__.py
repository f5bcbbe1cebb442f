"""Rules that decide alerts at the gateway: pure, from flagged samples, with bounded memory."""
