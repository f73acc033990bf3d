"""Where the images of a task come from: one reader a format."""
