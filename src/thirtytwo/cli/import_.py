"""``thirtytwo import``."""

from pathlib import Path
from typing import Annotated

import typer

from thirtytwo.cli.app import DeviceName, Import, Json, app, complete_words
from thirtytwo.errors import UserError
from thirtytwo.words import plural


@app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="A state dict, or a checkpoint with one: .pth, .ckpt, .bin, .safetensors or a format of yours.",
            show_default=False,
        ),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE] [KEY=VALUE]...",
            help="The recipe whose model and data the weights are for, then keys to override.",
            autocompletion=complete_words,
            show_default="the one in FILE.json",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Which state dict is taken from a file of several.", show_default=False),
    ] = None,
    mean: Annotated[
        str,
        typer.Option("--mean", metavar="R,G,B", help="The mean that it was trained with, in 0..1.", show_default=False),
    ] = "",
    std: Annotated[
        str, typer.Option("--std", metavar="R,G,B", help="The standard deviation, likewise.", show_default=False)
    ] = "",
    out: Annotated[Path, typer.Option("--out", help="Where run folders are made.")] = Path("runs"),
    device: DeviceName = "auto",
    test: Annotated[bool, typer.Option("--test", help="Score the test split too.")] = False,
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Make a run from weights that were trained elsewhere, and score it on val. No code in the file is run.

    `thirtytwo import cifar_net.pth cifar10-tutorial --mean 0.5 --std 0.5` imports what PyTorch's tutorial saves.
    """
    from thirtytwo import recipes
    from thirtytwo.cli.console import say
    from thirtytwo.cli.scores import say_run_json, say_scores
    from thirtytwo.recipe import parse_assignments
    from thirtytwo.report.html import write as write_report
    from thirtytwo.runs.imported import import_weights, recipe_beside

    words = words or []
    named = bool(words) and "=" not in words[0]
    recipe = recipes.find(words[0]) if named else recipe_beside(file)
    recipe = recipe.override(parse_assignments(words[1:] if named else words))
    run = import_weights(
        file,
        recipe,
        key=key,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        out=out,
        device=device,
        test=test,
        imports=imports,
    )
    report = write_report(run)
    if as_json:
        say_run_json(run)
        return
    say(
        run.name, f"{recipe.model}, {plural(run.require_trained()['parameters'], 'parameter')}", f"imported from {file}"
    )
    if taken := run.env.get("taken"):
        say("", f"taken: {taken}")
    say_scores(run)
    say("report", str(report))


def _numbers(option: str, text: str) -> tuple[float, ...]:
    """``0.5,0.5,0.5``, or one number for all channels; empty for an empty text."""
    try:
        return tuple(float(each) for each in text.split(",")) if text else ()
    except ValueError:
        raise UserError(f"{option} {text}: expected one number per channel, such as 0.49,0.48,0.45") from None
