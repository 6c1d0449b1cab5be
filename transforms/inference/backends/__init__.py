"""Model backends: each opens one kind of model."""
