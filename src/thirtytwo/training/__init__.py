"""Parts built from a recipe, and the ways to train them."""
