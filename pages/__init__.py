"""What hub and gateway both serve: templates, static assets, the gettext catalogue. No I/O."""
