"""Which patches of a slide are embedded: resolution, grid, plan, and the plan as a file."""
