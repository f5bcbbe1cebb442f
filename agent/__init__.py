"""The gateway process: from a driver's sample to a record that the hub has receipted."""
