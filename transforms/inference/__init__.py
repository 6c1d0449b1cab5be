"""SavedModels: which one, how it is called, compiled, and run on blocks of images."""
