"""What keeps a thing that fails, crashes or hangs from costing more than itself."""
