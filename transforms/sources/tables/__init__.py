"""Tables of the user about images: CSV, and keys that name images by the ends of paths."""
