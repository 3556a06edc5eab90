"""``thirtytwo data``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thirtytwo.cli.app import BadImages, Import, Json, app
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirtytwo.data.imageset import ImageSet

data = typer.Typer(help="List the data sources; describe, check or draw one.", no_args_is_help=True)
app.add_typer(data, name="data")

Source = Annotated[str, typer.Argument(help="A source's name, or the path of a folder or file.", show_default=False)]
Pictures = Annotated[str, typer.Argument(help="The path of class folders or parquet files.", show_default=False)]
LISTED = 20
"""Classes that a terminal shows the names of."""
ImageColumn = Annotated[str | None, typer.Option("--image-column", help="Of parquet files: the column of pictures.")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help="Of parquet files: the column of labels.")]


@data.command("list")
def list_sources(imports: Import = [], as_json: Json = False) -> None:  # noqa: B006
    """List the named sources. A path to images of your own is a source as well."""
    from thirtytwo.api import catalogue
    from thirtytwo.cli.console import say_names

    say_names(catalogue.list_sources(), as_json=as_json)


@data.command("info")
def info(
    source: Source,
    bad_images: BadImages = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Describe a source: splits, classes, sizes, channel statistics, and what was done to its pictures."""
    from thirtytwo.cli.console import say, say_json
    from thirtytwo.data.layout import absent
    from thirtytwo.data.load import load
    from thirtytwo.data.split import sizes
    from thirtytwo.recipe import Data
    from thirtytwo.words import plural

    official = load(source, bad_images=bad_images or "fail", image_column=image_column, label_column=label_column)
    sets = official.sets
    mean, std = official.train.statistics()
    notes = [*official.notes, *absent({name: each.named_counts() for name, each in sets.items()})]
    training, default = None, Data()
    try:
        training = sizes(official, val=default.val, test=default.test)
    except UserError as error:
        notes.append(f"a training with the default data.val and data.test is refused: {error}")
    if as_json:
        say_json(
            {
                "name": official.name,
                "size": official.train.size,
                "channels": official.train.channels,
                "classes": official.train.classes,
                "counts": {name: each.class_counts().tolist() for name, each in sets.items()},
                "training": training,
                "mean": mean.tolist(),
                "std": std.tolist(),
                "notes": notes,
            }
        )
        return
    height, width = official.train.size
    colour, classes = "grey" if official.train.channels == 1 else "RGB", official.train.classes
    say(official.name, f"{colour} images {height}x{width}, {plural(len(classes), 'class')}")
    for name, each in sets.items():
        say(name, f"{plural(len(each), 'image')}, as the source has it", _counts(each))
    if training:
        cut = [(name, share) for name, share in (("test", default.test), ("val", default.val)) if name not in sets]
        of = zip(cut, ("train", "the rest"), strict=False)
        taken = ", then ".join(f"{name} {100 * share:g} % of {whole}" for (name, share), whole in of)
        parts = " · ".join(f"{name} {size:,}" for name, size in training.items())
        say("a training", parts, taken)
    say("mean", "  ".join(f"{value:.4f}" for value in mean.tolist()), "channels of train, in 0..1")
    say("std", "  ".join(f"{value:.4f}" for value in std.tolist()))
    say("classes", _listed(classes))
    for note in notes:
        say("note", note)


@data.command("scan")
def scan(
    source: Pictures,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    imports: Import = [],  # noqa: B006
    as_json: Json = False,
) -> int:
    """Check every picture: which cannot be read, which are duplicates, and their sizes and modes.

    Exits with 1 when a picture cannot be read, or is in two splits or classes.
    """
    from dataclasses import asdict

    from thirtytwo.cli.console import say, say_json
    from thirtytwo.data.scan import scan as look
    from thirtytwo.words import plural

    found = look(source, image_column, label_column)
    code = int(bool(found.bad or found.leaks or found.conflicts))
    if as_json:
        sizes = {f"{height}x{width}": count for (height, width), count in found.sizes.items()}
        say_json({**asdict(found), "sizes": sizes})
        return code
    say(found.name, plural(found.total, "picture"), f"{len(found.bad):,} cannot be read")
    for split, counts in found.class_counts.items():
        say(split, _listed([f"{name} {count:,}" for name, count in counts.items()]))
    shown = [f"{height}x{width} ({count:,})" for (height, width), count in found.sizes.items()]
    say("sizes", ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else ""))
    say("modes", ", ".join(f"{mode} ({count:,})" for mode, count in found.modes.items()))
    for note in found.notes:
        say("note", note)
    for bad in found.bad:
        say("bad", f"{bad.name}: {bad.reason}", style="red")
    for group in found.duplicates:
        problem = "in two classes" if len(group.labels) > 1 else "in two splits" if len(group.splits) > 1 else "twice"
        say(problem, " = ".join(group.names))
    return code


@data.command("show")
def show(
    source: Source,
    augment: Annotated[
        str | None,
        typer.Option("--augment", help="A recipe's name or augmentations as text: draw augmented pictures as well."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The PNG file to make.")] = Path("data.png"),
    seed: Annotated[int, typer.Option("--seed", help="Which pictures, and which draws of the augmentation.")] = 0,
    bad_images: BadImages = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    imports: Import = [],  # noqa: B006
) -> None:
    """Draw a labelled sample of the training images with class counts and channel statistics, as a PNG file.

    With a recipe, the images have the size, channels and fit that it trains with.
    """
    from thirtytwo.augment import Chain
    from thirtytwo.cli.console import say
    from thirtytwo.data.load import load
    from thirtytwo.recipe import Data
    from thirtytwo.recipes import find, recipes
    from thirtytwo.report.sheet import draw_sheet

    text, drawn = augment, Data()
    if augment is not None and (augment in recipes or Path(augment).exists()):
        recipe = find(augment)
        text, drawn = recipe.augment, recipe.data
    chain = None if text is None else Chain.parse(text)
    official = load(
        source, size=drawn.size, channels=drawn.channels, fit=drawn.fit, bad_images=bad_images or drawn.bad_images,
        image_column=image_column or drawn.image_column, label_column=label_column or drawn.label_column,
    )  # fmt: skip
    draw_sheet(official, out, chain=chain, caption=text, seed=seed)
    height, width = official.train.size
    say("drawn", str(out), f"{official.name}, images {height}x{width}")


def _listed(classes: "Sequence[str]") -> str:
    from thirtytwo.cli.console import terminal_width

    more = 0 if terminal_width() is None else max(0, len(classes) - LISTED)
    return ", ".join(classes[: len(classes) - more]) + (f" and {more:,} more, which --json lists" if more else "")


def _counts(images: "ImageSet") -> str:
    counts = images.class_counts()
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,} per class" if low == high else f"{low:,} to {high:,} per class"
