"""Named recipes: one function each, whose docstring says what it reaches, how long it takes, and how to run it."""

import os
import re

from thirtytwo import recipe as recipe_module
from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.paths import as_path
from thirtytwo.recipe import Recipe
from thirtytwo.registry import Registry
from thirtytwo.spec import OWN

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


def run_name(recipe: Recipe) -> str:
    """What a run of the recipe is called: ``photos-finetune`` for the recipe ``finetune`` on the folder ``photos``.

    A name that is the user's own stays as it is, and so does one that begins with the data's: ``digits-cnn``.
    """
    if recipe.name not in recipes and recipe.name != Recipe.model_fields["name"].default:
        return recipe.name
    data = data_name(recipe.data.source)
    return recipe.name if f"{recipe.name}-".startswith(f"{data}-".lower()) else f"{data}-{recipe.name}"


def data_name(source: str) -> str:
    """A word for a source, of letters, digits, ``-``, ``_`` and ``.``: its name, or that of its file or folder."""
    text = source.removeprefix(OWN).partition("(")[0]
    if any(mark in text for mark in "/\\~."):
        # Not looked for on the disk: the folder of an old run may be gone.
        text = os.path.basename(os.path.abspath(os.path.expanduser(source))).removesuffix(".npz")  # noqa: PTH100, PTH111, PTH119
    return re.sub(r"[^\w.-]+", "-", text)[:32].strip("-.") or "data"


__all__ = ["data_name", "find", "recipes", "run_name"]
