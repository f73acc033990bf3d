"""What a run says of the test images, how good that is, and what can be said of several runs."""
