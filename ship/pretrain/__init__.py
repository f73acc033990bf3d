"""Making the embedded backbone: what it is told, and its training."""
