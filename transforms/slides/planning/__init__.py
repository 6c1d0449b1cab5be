"""The plan of a slide: its resolution, its grid, its patches, and the plan as a file."""
