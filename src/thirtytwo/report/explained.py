"""Pictures with what a trained network says of them and how it comes to it, as figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from thirtytwo.evaluation.estimate import quantity
from thirtytwo.explain.explanation import Explanation
from thirtytwo.figures import canvas, pictures
from thirtytwo.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Explained:
    """One or more pictures. In a notebook it shows its figures.

    Attributes:
        names: of the pictures.
        said: the most probable classes of each with their probabilities, most probable first.
        truths: the true class of each, where it is known.
        explanations: what the network makes of each.
    """

    names: Sequence[str]
    said: Sequence[Sequence[tuple[str, float]]]
    truths: Sequence[str | None]
    explanations: Sequence[Explanation]

    @cached_property
    def figures(self) -> "dict[str, Figure]":
        """``predictions``; and where the network has convolutions, ``<picture>-layers`` for each, and ``filters``."""
        images = [explanation.picture for explanation in self.explanations]
        titles = [Path(name).name for name in self.names]
        drawn = {"predictions": pictures.prediction_panel(images, titles, self.said, self.truths)}
        for name, title, said, explanation in zip(self.names, titles, self.said, self.explanations, strict=True):
            if explanation.layers:
                label, share = said[0]
                heading = f"{canvas.short(title, 50)}: {canvas.short(label)} {quantity(share)}"
                drawn[_unused(f"{Path(name).stem}-layers", drawn)] = pictures.feature_maps(explanation, heading)
        if len(self.explanations[0].filters):
            drawn["filters"] = pictures.filters(self.explanations[0].filters)
        return drawn

    def save(self, folder: str | Path) -> list[Path]:
        """Write each figure as a PNG file into ``folder``, which is made; their paths."""
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


def _unused(name: str, taken: "dict[str, Figure]") -> str:
    """``name``, or ``name-2`` and so on where it is taken: files of two folders may have one name."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
