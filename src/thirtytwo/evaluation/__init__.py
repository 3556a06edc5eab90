"""Predictions, the scores that derive from them, and comparisons of scores."""
