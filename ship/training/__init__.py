"""From prepared files to tuned parameters: the loop, a fit, a run, a search."""
