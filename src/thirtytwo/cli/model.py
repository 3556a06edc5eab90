"""``thirtytwo model``."""

from typing import Annotated

import typer

from thirtytwo.cli.app import Import, Json, app


@app.command()
def model(
    name: Annotated[
        str, typer.Argument(help="A model, such as cnn2 or 'wideresnet(depth=16, width=4)', or a pattern: 'resnet*'.")
    ] = "*",
    classes: Annotated[int, typer.Option("--classes", min=2, help="Classes to tell apart.")] = 10,
    channels: Annotated[int, typer.Option("--channels", min=1, max=3, help="1 for grey, 3 for RGB.")] = 3,
    size: Annotated[int, typer.Option("--size", min=1, help="Height and width of the images in pixels.")] = 32,
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """List the models, or show one: its layers, shapes, parameters and operations."""
    from dataclasses import asdict

    from thirtytwo.cli.console import one_line, output, plain_table, say_json, say_names, show
    from thirtytwo.models import models

    if any(mark in name for mark in "*?["):
        say_names({each: models.summary(each) for each in models.names(name)}, as_json=as_json)
        return

    from thirtytwo.models.classifier import build_network
    from thirtytwo.models.summary import summarise

    layers = summarise(build_network(name, channels, classes, (size, size)), channels, (size, size))
    if as_json:
        say_json(asdict(layers))
        return
    table = plain_table()
    for title, justify in (("layer", "left"), ("type", "left"), ("output", "left"), ("parameters", "right"),
                           ("trained", "right"), ("MFLOP", "right")):  # fmt: skip
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in layers.rows:
        shape = "" if row.output is None else " x ".join(map(str, row.output))
        numbers = (f"{n:,}" if n else "" for n in (row.parameters, row.trainable))
        table.add_row(one_line(row.name), row.type, shape, *numbers, f"{row.mflop:.2f}" if row.mflop else "")
    table.add_row(
        "total", "", "", f"{layers.parameters:,}", f"{layers.trainable:,}", f"{layers.mflop:.1f}", style="bold"
    )
    show(table)
    output.print(
        f"\n{layers.parameter_bytes / 1e6:.1f} MB of weights, {layers.activation_bytes / 1e6:.2f} MB of layer outputs "
        "an image (float32); a multiplication and its addition are two operations",
        style="dim",
    )
