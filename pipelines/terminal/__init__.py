"""What a person sees on the terminal: progress, summary, quiet logs."""
