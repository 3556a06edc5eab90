"""``thirtytwo export``."""

from pathlib import Path
from typing import Annotated

import typer

from thirtytwo.cli.app import Import, Json, RunPath, app


@app.command()
def export(
    run: RunPath,
    file: Annotated[
        Path | None,
        typer.Argument(help="The file to write; its suffix decides the format.", show_default="<recipe>.pth, here"),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", help="pth, safetensors or a format of your own, where no FILE is named.")
    ] = "pth",
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Write a run's network as a state dict that plain PyTorch loads, and a JSON file that says how to use it."""
    from thirtytwo.cli.console import say, say_json
    from thirtytwo.models.weights import formats
    from thirtytwo.models.weights.file import beside
    from thirtytwo.recipes import run_name
    from thirtytwo.runs.export import export as write
    from thirtytwo.runs.run import Run
    from thirtytwo.words import plural

    found, suffix = Run.open(run), formats.build(format).suffixes[0]
    file = file or Path(f"{run_name(found.recipe)}{suffix}")
    card = write(found, file)
    if as_json:
        say_json({"file": str(file), **card})
        return
    height, width = card["size"]
    mean, std = ((f"({', '.join(f'{each:.4f}' for each in card[key])})") for key in ("mean", "std"))
    colour = "grey" if card["channels"] == 1 else "RGB"
    say(
        str(file),
        f"{card['model']}, {plural(card['parameters'], 'parameter')}",
        "read back: the same logits, bit for bit",
    )
    say(
        "expects",
        f"{colour} images {height}x{width} in 0..1, minus {mean}, divided by {std}",
        f"{plural(len(card['classes']), 'class')}, listed in {beside(file)}",
    )
