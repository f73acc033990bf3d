"""What a tuned model says of images."""
