"""TensorFlow 2 SavedModels: load, call, freeze, compile."""
