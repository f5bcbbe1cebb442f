"""What a service tells whoever started it: that it is ready, that it still gets on, that it ends."""
