"""Named recipes: one function each, whose docstring says what it reaches, how long it takes, and how to run it."""

from thirtytwo import recipe as recipe_module
from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.paths import as_path
from thirtytwo.recipe import Recipe
from thirtytwo.registry import Registry

recipes: Registry[Recipe] = Registry("recipe", package="thirtytwo.recipes")


def find(name: str) -> Recipe:
    """A recipe by registered name, TOML file, or an earlier run's folder. Raises UserError if it is none of them."""
    if name in recipes:
        return recipes.build(name)
    path = as_path(name)
    if path.is_dir() and (path / "recipe.toml").is_file():
        return recipe_module.from_toml(path / "recipe.toml", stored=True)
    if path.suffix == ".toml" or path.is_file():
        return recipe_module.from_toml(path)
    if path.is_dir():
        raise UserError(f"'{name}' is a folder, not a recipe: train on its pictures with data.source={name}")
    raise UserError(f"unknown recipe '{name}'{did_you_mean(name, recipes.names())}")


__all__ = ["find", "recipes"]
