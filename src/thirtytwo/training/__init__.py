"""Parts made from a recipe, and the ways to train them."""
