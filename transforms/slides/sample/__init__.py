"""Sample slides, drawn rather than scanned: for the demo, tests and benchmarks."""
