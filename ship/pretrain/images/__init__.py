"""The images of the embedded backbone's pre-training, painted by formulas."""
