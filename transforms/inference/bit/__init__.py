"""The BiT ResNet architecture, and its weights."""
