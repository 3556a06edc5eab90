"""``thirtytwo explain``."""

from pathlib import Path
from typing import Annotated

import typer

from thirtytwo.cli.app import DeviceName, Import, Invert, Json, Moved, RunPath, app


@app.command()
def explain(
    run: RunPath,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            help="Pictures, folders, patterns, or val:12, the image that reports call val #12; by default the picture "
            "that the run keeps.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to draw into (default: RUN/figures/explain).")
    ] = None,
    how: Annotated[
        str,
        typer.Option(
            "--how",
            metavar="KIND",
            help="layers, or an explanation of your own (--import) with its arguments: 'occlusion(patch=4)'.",
        ),
    ] = "layers",
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to show.")] = 3,
    invert: Invert = False,
    data: Moved = None,
    device: DeviceName = "auto",
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Draw how a network comes to its answers: class probabilities, filters, feature maps layer by layer."""
    from thirtytwo.cli.console import say, say_json
    from thirtytwo.cli.predict import find_pictures

    files = find_pictures(pictures) if pictures else None

    from thirtytwo.api.verbs import open_run

    explained = open_run(run, device=device, data=data).explain(files, how, top=top, invert=invert)
    paths = explained.save(run / "figures" / "explain" if out is None else out)
    if as_json:
        answers = [
            {"picture": name, "top": dict(said)} for name, said in zip(explained.names, explained.said, strict=True)
        ]
        say_json({"figures": [str(path) for path in paths], "pictures": answers})
    else:
        for path in paths:
            say("drawn", str(path))
