"""A sheet about an image set, as one PNG file: labelled pictures, the same augmented, counts, statistics."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from thirtytwo.augment import Augmentation
from thirtytwo.data.imageset import Official
from thirtytwo.errors import UserError
from thirtytwo.figures import canvas, pictures
from thirtytwo.training.preview import augmented, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, SHOWN = 8, 32


def draw_sheet(official: Official, path: Path, *, chain: Augmentation | None, caption: str | None, seed: int) -> None:
    """Draw the training images of ``official`` to the PNG file ``path``.

    Args:
        official: the source.
        path: the file to write.
        chain: an augmentation; the same pictures are drawn again with it.
        caption: the heading of that part.
        seed: decides which pictures are drawn, and the augmentation's random choices.
    """
    train = official.train
    chosen = sample(train, SHOWN, seed)
    names = canvas.labels(train.classes, 14)
    titles = [names[label] for label in chosen.labels.tolist()]
    parts = [pictures.sample_grid(chosen.images.numpy(), titles, COLUMNS)]
    if chain is not None:
        images = augmented(chosen, chain, seed)
        heading = [canvas.short(caption or "", 100), *[""] * (len(titles) - 1)]
        parts.append(pictures.sample_grid(images, heading, COLUMNS))
    counts = {name: each.class_counts().tolist() for name, each in official.sets.items()}
    parts.append(pictures.class_counts(counts, train.classes))
    mean, std = train.statistics()
    parts.append(pictures.pixel_histogram(train.pixel_counts().numpy(), mean.tolist(), std.tolist()))
    try:
        _stack(parts, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}): choose another --out") from None


def _stack(parts: "list[Figure]", path: Path) -> None:
    """Write figures below each other to one PNG file."""
    from PIL import Image

    images = []
    for part in parts:
        buffer = io.BytesIO()
        canvas.png(part, buffer)
        images.append(Image.open(buffer).convert("RGB"))
    gap = 24
    width = max(image.width for image in images) + 2 * gap
    sheet = Image.new("RGB", (width, sum(image.height + gap for image in images) + gap), "white")
    top = gap
    for image in images:
        sheet.paste(image, (gap, top))
        top += image.height + gap
    sheet.save(path, "PNG")
