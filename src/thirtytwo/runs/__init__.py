"""The run folder, and everything that reads or makes one without training."""
