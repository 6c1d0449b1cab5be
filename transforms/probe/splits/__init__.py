"""Which units train a model and which test it."""
