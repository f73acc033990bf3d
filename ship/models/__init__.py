"""The frozen backbone: where it comes from, its pieces, and what is measured on it."""
