"""The commands other than jobs."""
