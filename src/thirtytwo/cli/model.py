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

    from thirtytwo.cli.console import say_json, say_table
    from thirtytwo.display import output
    from thirtytwo.models.summary import summarise

    layers = summarise(network, channels, size)
    if as_json:
        say_json(asdict(layers))
        return
    rows = []
    for row in layers.rows:
        output_shape = "" if row.output is None else " x ".join(map(str, row.output))
        numbers = (f"{n:,}" if n else "" for n in (row.parameters, row.trainable))
        rows.append([row.name, row.type, output_shape, *numbers, f"{row.mflop:.2f}" if row.mflop else ""])
    rows.append(["total", "", "", f"{layers.parameters:,}", f"{layers.trainable:,}", f"{layers.mflop:.1f}"])
    numeric = ("parameters", "trained", "MFLOP")
    say_table(("layer", "type", "output", *numeric), rows, right=numeric)
    output.print(
        f"\n{layers.parameter_bytes / 1e6:.1f} MB of weights, {layers.activation_bytes / 1e6:.2f} MB of layer outputs "
        "per image (float32); a multiplication and its addition are two operations",
        style="dim",
    )


def _show_stages(network: "Network", freeze: str, *, as_json: bool) -> None:
    """The table of stages: what is trained, what is frozen, and how many parameters each has."""
    from dataclasses import asdict

    from thirtytwo.cli.console import say_json, say_table
    from thirtytwo.display import output
    from thirtytwo.models.stages import plan, sentence, table

    rows = table(network, plan(network, freeze))
    if as_json:
        say_json([asdict(row) for row in rows])
        return
    numeric = ("parameters", "trained")
    cells = [[row.stage, row.state, f"{row.parameters:,}", f"{row.trained:,}"] for row in rows]
    say_table(("stage", "state", *numeric), cells, right=numeric)
    output.print(f"\n{sentence(rows)}", style="dim")
