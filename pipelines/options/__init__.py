"""Groups of command-line flags, each with its checks."""
