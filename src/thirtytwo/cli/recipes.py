"""``thirtytwo recipes``."""

from pathlib import Path
from typing import Annotated

import typer

from thirtytwo.cli.app import Import, Json, RecipeWords, app
from thirtytwo.errors import UserError

group = typer.Typer(help="List the recipes, show one as TOML, or copy one to a file.", no_args_is_help=True)
app.add_typer(group, name="recipes")


@group.command("list")
def list_recipes(
    pattern: Annotated[str, typer.Argument(help="A pattern such as 'cifar10-*'.")] = "*",
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """List the recipes, one line each, with their descriptions."""
    from thirtytwo.api import catalogue
    from thirtytwo.cli.console import say_names

    say_names(catalogue.list_recipes(pattern), as_json=as_json)


@group.command("show")
def show_recipe(words: RecipeWords = None, imports: Import = []) -> None:  # noqa: B006
    """Print a recipe as TOML, with overrides applied."""
    import sys

    from thirtytwo.cli.train import wanted

    sys.stdout.write(wanted(words or []).to_toml())


@group.command("copy")
def copy_recipe(
    name: Annotated[str, typer.Argument(help="The recipe to start from.")],
    file: Annotated[Path, typer.Argument(help="The TOML file to write; train it with `thirtytwo train FILE`.")],
    imports: Import = [],  # noqa: B006
) -> None:
    """Write a recipe to a TOML file of your own, with a comment on what each key means."""
    from thirtytwo import recipes
    from thirtytwo.cli.console import say

    found = recipes.find(name)
    try:
        text = found.override({"name": file.stem}).to_toml(comments=True)
    except UserError:
        raise UserError(f"{file}: its name becomes the recipe's: use letters, digits, '.', '_' and '-'") from None
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UserError(f"{file}: exists already: choose another name") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None
    say("recipe", str(file), f"thirtytwo train {file}")


@group.command("keys")
def list_keys(as_json: Json = False) -> None:
    """List every key of a recipe, and what it means."""
    from thirtytwo.cli.console import say_names
    from thirtytwo.recipe import keys

    say_names({key: " ".join(meaning.split()) for key, meaning in keys().items()}, as_json=as_json)
