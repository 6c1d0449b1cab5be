"""Films decoded, shown as a radiologist sees them, and prepared for the model."""
