"""Model cards: what a model's makers say about its input and output, in a YAML file."""
