"""What the jobs are made of, a folder a subject."""
