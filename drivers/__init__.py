"""Devices to samples: codecs (bytes and records, no I/O), links (the I/O), one file per driver that joins the two."""
