"""What `params.yaml` may say, and what was chosen by it: words and their rules. Loads no torch."""
