"""``thirtytwo model``."""

from typing import TYPE_CHECKING, Annotated

import typer

from thirtytwo.cli.app import Import, Json, app
from thirtytwo.errors import UserError
from thirtytwo.spec import Spec

if TYPE_CHECKING:
    from thirtytwo.models.network import Network


@app.command()
def model(
    name: Annotated[
        str,
        typer.Argument(help="A model: cnn2, 'torchvision/resnet18(input=96)', run:PATH; or a pattern: 'timm/vit_*'."),
    ] = "*",
    classes: Annotated[
        int | None, typer.Option("--classes", min=2, help="Number of classes.", show_default="10, or the run's")
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option("--channels", min=1, max=3, help="1 for grey, 3 for RGB.", show_default="3, or the run's"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", min=1, help="Height and width of the images in pixels.", show_default="32, or the run's"
        ),
    ] = None,
    freeze: Annotated[
        str | None,
        typer.Option("--freeze", help="Show what is trained: none, all-but-head, to:layer4, 'features.*'."),
    ] = None,
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """List the models, or show one: its layers, shapes, parameters and operations; with --freeze, its stages."""
    from thirtytwo.api.catalogue import list_models
    from thirtytwo.cli.console import errors, say_names
    from thirtytwo.runs import reuse  # noqa: F401  (makes models called run:PATH known)

    path = Spec(name).run
    if "(" not in name and path is None and any(mark in name for mark in "*?["):
        if freeze is not None:
            raise UserError(f"--freeze={freeze}: shows the stages of one model, and '{name}' may match many: name one")
        found = list_models(name)
        if not found:
            raise UserError(f"no model matches '{name}': see `thirtytwo model` and `thirtytwo model 'torchvision/*'`")
        say_names(found, as_json=as_json)
        return

    from thirtytwo.models.adapt import starvation
    from thirtytwo.models.classifier import build_network
    from thirtytwo.runs.run import Run

    card = None if path is None else Run.open(path).card
    channels = channels or (card["channels"] if card else 3)
    shape = (size, size) if size else card["size"] if card else (32, 32)
    network = build_network(name, channels, classes or (len(card["classes"]) if card else 10), shape)
    if told := starvation(name, network, channels, shape):
        errors.print(f"warning: {told}")
    if freeze is not None:
        _show_stages(network, freeze, as_json=as_json)
    else:
        _show_layers(network, channels, shape, as_json=as_json)


def _show_layers(network: "Network", channels: int, size: tuple[int, int], *, as_json: bool) -> None:
    """The table of layers: outputs, parameters, those of them that are trained, and operations."""
    from dataclasses import asdict

    from thirtytwo.cli.console import one_line, plain_table, say_json, show
    from thirtytwo.display import output
    from thirtytwo.models.summary import summarise

    layers = summarise(network, channels, size)
    if as_json:
        say_json(asdict(layers))
        return
    table = plain_table()
    for title, justify in (("layer", "left"), ("type", "left"), ("output", "left"), ("parameters", "right"),
                           ("trained", "right"), ("MFLOP", "right")):  # fmt: skip
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in layers.rows:
        output_shape = "" if row.output is None else " x ".join(map(str, row.output))
        numbers = (f"{n:,}" if n else "" for n in (row.parameters, row.trainable))
        table.add_row(one_line(row.name), row.type, output_shape, *numbers, f"{row.mflop:.2f}" if row.mflop else "")
    table.add_row(
        "total", "", "", f"{layers.parameters:,}", f"{layers.trainable:,}", f"{layers.mflop:.1f}", style="bold"
    )
    show(table)
    output.print(
        f"\n{layers.parameter_bytes / 1e6:.1f} MB of weights, {layers.activation_bytes / 1e6:.2f} MB of layer outputs "
        "per image (float32); a multiplication and its addition are two operations",
        style="dim",
    )


def _show_stages(network: "Network", freeze: str, *, as_json: bool) -> None:
    """The table of stages: what is trained, what is frozen, and how many parameters each has."""
    from dataclasses import asdict

    from thirtytwo.cli.console import plain_table, say_json, show
    from thirtytwo.display import output
    from thirtytwo.models.stages import plan, sentence, table

    rows = table(network, plan(network, freeze))
    if as_json:
        say_json([asdict(row) for row in rows])
        return
    shown = plain_table()
    shown.add_column("stage", no_wrap=True)
    shown.add_column("state", no_wrap=True)
    shown.add_column("parameters", justify="right", no_wrap=True)
    shown.add_column("trained", justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(row.stage, row.state, f"{row.parameters:,}", f"{row.trained:,}")
    show(shown)
    output.print(f"\n{sentence(rows)}", style="dim")
