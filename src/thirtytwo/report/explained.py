"""Pictures with a trained network's answers and their explanations, as figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thirtytwo.errors import UserError
from thirtytwo.evaluation.estimate import quantity
from thirtytwo.explain import Explanation
from thirtytwo.figures import canvas, pictures
from thirtytwo.figures.canvas import Drawing
from thirtytwo.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Explained:
    """Explanations of one or more pictures. In a notebook it shows its figures.

    Attributes:
        names: of the pictures.
        images: the pictures as the network took them, uint8 (C, H, W) each.
        said: the most probable classes of each with their probabilities, most probable first.
        truths: the true class of each, where it is known.
        explanations: of each picture, all of one kind.

    >>> import thirtytwo
    >>> run = thirtytwo.train("digits-cnn", epochs=1, model="cnn2(width=2)", progress=False)
    >>> explained = run.explain("val:712")
    >>> sorted(explained.figures)
    ['filters', 'predictions', 'val-712-layers']
    """

    names: Sequence[str]
    images: Sequence[np.ndarray]
    said: Sequence[Sequence[tuple[str, float]]]
    truths: Sequence[str | None]
    explanations: Sequence[Explanation]

    @cached_property
    def figures(self) -> "dict[str, Figure]":
        """``predictions``, then ``<picture>-<figure>`` for each picture's figures, then those of the network."""
        titles = [Path(name).name for name in self.names]
        drawn = {"predictions": pictures.prediction_panel(self.images, titles, self.said, self.truths)}
        for name, title, said, truth, explanation in zip(
            self.names, titles, self.said, self.truths, self.explanations, strict=True
        ):
            for kind, drawing in _drawings(explanation, explanation.figures(heading(title, said[0], truth))):
                drawn[_unused(f"{Path(name).stem}-{kind}", drawn)] = drawing.figure
        first = self.explanations[0]
        return drawn | {name: drawing.figure for name, drawing in _drawings(first, first.network_figures())}

    def save(self, folder: str | Path) -> list[Path]:
        """Write each figure as a PNG file into ``folder``, which is made if needed; returns their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.png" for name in self.figures]
        for path, figure in zip(paths, self.figures.values(), strict=True):
            write_atomic(path, canvas.png_bytes(figure))
        return paths

    def __repr__(self) -> str:
        said = (f"{name}: {classes[0][0]}" for name, classes in zip(self.names, self.said, strict=True))
        return f"Explained({', '.join(said)})"

    def _repr_html_(self) -> str:
        return "".join(f"{canvas.img(figure, name)}<br>" for name, figure in self.figures.items())


def _drawings(explanation: Explanation, figures: object) -> list[tuple[str, Drawing]]:
    """An explanation's figures by name. Raises UserError for anything else, which one of the user's own may give."""
    from matplotlib.figure import Figure

    what = type(explanation).__name__
    if not isinstance(figures, Mapping):
        raise UserError(f"{what}: its figures are {type(figures).__name__}, not a dictionary of name: Drawing")
    for name, drawing in figures.items():
        if not (isinstance(drawing, Drawing) and isinstance(drawing.figure, Figure)):
            raise UserError(f"{what}: its figure '{name}' is not a Drawing(figure, alt)")
        if not isinstance(name, str) or "/" in name or "\\" in name:
            raise UserError(f"{what}: {name!r} cannot be a figure's name: it becomes part of a file's name")
    return list(figures.items())


def heading(name: str, said: tuple[str, float], truth: str | None) -> str:
    """``seven.png: called 7 with 99.1 %``, or ``val #712: 7, called 1 with 60.3 %`` where the true class is known.

    Args:
        name: the picture's name.
        said: the most probable class and its probability.
        truth: the true class.
    """
    classes = list(dict.fromkeys((said[0], *([] if truth is None else [truth]))))
    shown = dict(zip(classes, canvas.labels(classes), strict=True))
    known = "" if truth is None else f"{shown[truth]}, "
    return f"{canvas.short(name, 50)}: {known}called {shown[said[0]]} with {quantity(said[1])}"


def _unused(name: str, taken: "dict[str, Figure]") -> str:
    """``name``, or ``name-2`` and so on where it is taken: files in two folders may have the same name."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
