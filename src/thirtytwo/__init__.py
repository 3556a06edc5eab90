"""Train, compare and explain small-image classifiers."""
