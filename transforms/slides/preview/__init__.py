"""A page on which tissue settings can be tried: its data, and the page itself."""
