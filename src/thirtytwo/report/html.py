"""Write a run's report: one HTML file that needs nothing else, and its figures as PNG files."""

import base64
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thirtytwo.evaluation.compare import p_text
from thirtytwo.evaluation.estimate import number, quantity, titled
from thirtytwo.evaluation.metrics import described
from thirtytwo.explain.explanation import LayerMaps
from thirtytwo.figures import canvas, pictures, scores
from thirtytwo.figures.canvas import Drawing
from thirtytwo.files import write_atomic
from thirtytwo.report.explained import heading
from thirtytwo.report.view import Closeup, Curves, Picture, View, view
from thirtytwo.runs.run import Run
from thirtytwo.runs.scored import Scored
from thirtytwo.words import plural, times

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.figure import Figure

PANEL = 6
"""Wrong answers, and right ones, in the panel of predictions."""
GRID = 30
"""Pictures in ``wrong.png`` and ``right.png``."""
AT_ONCE = 60
"""Pictures of a list that are shown before its reader asks for the rest."""
LABEL = 40
"""Characters of a class name, except in the tables that have all names in full."""
EXACT, LARGEST = 64, 256
"""Pixels: pictures up to this side keep each pixel in the page; up to the other, and reduced to it, they are WebP."""


def write(run: Run) -> Path:
    """Write ``report.html`` and ``figures/*.png`` into the run's folder, replacing earlier ones; returns the page."""
    seen = view(run)
    folder = run.path / "figures"
    folder.mkdir(exist_ok=True)
    drawn = _figures(seen)
    for name, (figure, _) in drawn.items():
        canvas.png(figure, folder / f"{name}.png")
    for stale in {path.stem for path in folder.glob("*.png")} - set(drawn):
        (folder / f"{stale}.png").unlink()
    inline = {name: canvas.svg(figure, label) for name, (figure, label) in drawn.items() if label}
    path = run.path / "report.html"
    write_atomic(path, render(seen, inline).encode("utf-8", "replace"))
    return path


def render(seen: View, inline: dict[str, str]) -> str:
    """The page as text. ``inline`` holds the figures as ``<svg>`` elements by name; all else is escaped."""
    from markupsafe import Markup

    return (
        environment()
        .get_template("report.html.j2")
        .render(
            view=seen,
            close=seen.closeup,
            figure={name: Markup(text) for name, text in inline.items()},
            described={name: described(name) for scored in seen.scored for name in scored.scores},
            bars_shown=canvas.BARS_SHOWN,
            axis=_axis(seen.scored),
            labels=dict(zip(seen.classes, canvas.labels(seen.classes, LABEL), strict=True)),
            at_once=AT_ONCE,
            header=_header(seen),
        )
    )


def environment() -> "Environment":
    """The environment of the pages' templates, with the filters that they share; all text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("thirtytwo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "quantity": lambda estimate, *how, **fine: _unbroken(estimate.quantity(*how, **fine)),
        "percent": lambda share, **fine: _unbroken(quantity(share, **fine)),
        "number": number,
        "titled": titled,
        "thousands": lambda number: f"{number:,}",
        "plural": plural,
        "times": times,
        "duration": duration,
        "data_uri": data_uri,
        "p_text": p_text,
        "named": named,
    }
    found.globals |= _script()
    return found


def _script() -> dict[str, "Markup"]:
    """The pages' script, and the policy that lets a browser run it and nothing else, nor fetch anything."""
    from markupsafe import Markup

    text = files("thirtytwo.report").joinpath("templates", "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; img-src data:; "
    return {"script": Markup(text), "policy": Markup(f"{policy}script-src 'sha256-{digest}'")}


def named(name: str, labels: Mapping[str, str]) -> "Markup":
    """A class name, or its label, apart from the text around it: it may be written from right to left."""
    from markupsafe import Markup

    label = labels.get(name, name)
    title = "" if label == name else Markup(' title="{}"').format(name)
    return Markup("<bdi{}>{}</bdi>").format(title, label)


def _unbroken(text: str) -> str:
    """Keep a number on one line with its unit."""
    return text.replace(" ", "\u00a0")


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def data_uri(image: np.ndarray) -> str:
    """An image (uint8 (C, H, W)) inside a URI: a PNG where it is small, else a WebP of at most 256 x 256 pixels."""
    from PIL import Image

    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    buffer, drawn = io.BytesIO(), Image.fromarray(np.ascontiguousarray(pixels))
    kind = "png" if max(drawn.size) <= EXACT else "webp"
    drawn.thumbnail((LARGEST, LARGEST))
    drawn.save(buffer, kind, quality=80)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _axis(scored: list[Scored]) -> dict[str, float] | None:
    """The scale of the strip that shows all accuracies with their intervals: its ends, as round shares."""
    if not scored:
        return None
    accuracies = [s.scores["accuracy"] for s in scored]
    low, high = min(a.low for a in accuracies), max(a.high for a in accuracies)
    unit = next((u for u in (0.01, 0.02, 0.05, 0.1) if high - low <= 8 * u), 0.2)
    return {
        "low": max(0.0, math.floor(low / unit - 1e-9) * unit),
        "high": min(1.0, math.ceil(high / unit + 1e-9) * unit),
    }


def _header(seen: View) -> list[str]:
    """What was trained, on what, in a few words each."""
    model, data, status = seen.model, seen.data, seen.status
    words = []
    if model:
        parameters = f", {plural(model['parameters'], 'parameter')}"
        frozen = f" ({model['frozen']:,} of them frozen, {model['freeze']})" if "frozen" in model else ""
        taught = f", distilled from {Path(seen.env['teacher']).name}" if "teacher" in seen.env else ""
        words.append(f"{model['model']}{parameters}{frozen}{taught}")
    if model and (solved := model.get("solved")):
        how = {"lbfgs": "linear probe, penalty {:g}", "knn": "{:g} nearest neighbours"}[solved["by"]]
        words.append(f"head: {how.format(solved['strength'])}, the best on val of {len(solved['tried'])}")
    if model and "feature_views" in model and "solved" not in model:
        words.append(
            f"the head alone was trained, on features of {plural(model['feature_views'], 'view')} of each image"
        )
    if data:
        pixels = ""
        if model:
            height, width = model["size"]
            pixels = f", {'grey' if model['channels'] == 1 else 'colour'} {width}×{height}"
        images = f"{plural(data['sizes']['train'], 'training image')} of {data['name']}"
        words.append(f"{images}, {plural(len(seen.classes), 'class')}{pixels}")
    if status.get("seconds"):
        machine = [each for each in (seen.env.get("device"), seen.env.get("precision")) if each]
        steps = "passes" if model and "solved" in model else "steps"
        begun = seen.env.get("continued")
        of = f" ({begun['step']:,} of them in an earlier run)" if begun else ""
        words.append(f"{status.get('step', 0):,} {steps}{of} in {duration(status['seconds'])} on {', '.join(machine)}")
    return words


def _figures(seen: View) -> dict[str, Drawing]:
    """Every figure by name; those without an alt text are files only, not drawn inline."""
    drawn = _curve_figures(seen.curves)
    if seen.closeup:
        drawn |= _closeup_figures(seen.closeup, seen.classes)
    if seen.explained:
        drawn |= _explained_figures(*seen.explained)
    if seen.training:
        drawn["training-pictures"] = Drawing(
            _training_grid(*seen.training, seen.classes),
            f"training pictures: {', '.join(seen.training[1])}",
        )
    if seen.data:
        counts = seen.data["class_counts"]
        drawn["class-counts"] = Drawing(
            pictures.class_counts(counts, seen.classes), "images per class and split; the table has the numbers"
        )
    return drawn


def _training_grid(images: np.ndarray, names: list[str], classes: Sequence[str]) -> "Figure":
    """Images (1 + E, N, C, H, W): one row as they are, under their classes, and E rows augmented."""
    epochs, count = images.shape[:2]
    shown = dict(zip(classes, canvas.labels(classes, 14), strict=True))
    rows = [[shown[name] for name in names]]
    rows += [["augmented" if epoch == 0 else "again", *[""] * (count - 1)] for epoch in range(epochs - 1)]
    return pictures.sample_grid(images.reshape(-1, *images.shape[2:]), [title for row in rows for title in row], count)


def _curve_figures(curves: Curves) -> dict[str, Drawing]:
    drawn = {}
    for what, lines in (
        ("loss", curves.loss),
        ("accuracy", curves.accuracy),
        ("learning rate", curves.learning_rate),
    ):
        measured = [line for line in lines if line.values]
        if measured:
            ends = ", ".join(f"{line.name} ends at {line.values[-1]:.4g}" for line in measured)
            drawn[what.replace(" ", "-")] = Drawing(scores.curves(measured, what), f"{what} by epoch: {ends}")
    return drawn


def _closeup_figures(close: Closeup, classes: tuple[str, ...]) -> dict[str, Drawing]:
    split, labels = close.scored.split, dict(zip(classes, canvas.labels(classes, 14), strict=True))
    drawn = {
        "confusion": Drawing(
            scores.confusion(close.confusion, classes),
            f"confusion matrix of {split}, {plural(len(classes), 'class')}; the most frequent confusions are "
            "listed beside it",
        ),
        "reliability": Drawing(
            scores.reliability(close.bins, close.scored.n),
            f"accuracy by confidence on {split}; the calibration error is {close.scored.scores['ece'].quantity()}",
        ),
    }
    if close.worst:
        drawn["classes"] = Drawing(
            scores.class_bars(close.worst, close.scored.scores["accuracy"].value),
            f"recall and precision by class on {split}, lowest recall first; the table below has the numbers",
        )
    for name, shown in (("wrong", close.wrong), ("right", close.right)):
        if shown:
            images = np.stack([picture.image for picture in shown[:GRID]])
            titles = [_title(picture, labels) for picture in shown[:GRID]]
            drawn[name] = Drawing(pictures.sample_grid(images, titles, 6), "")
    panel = [*close.wrong[:PANEL], *close.right[:PANEL]]
    if panel:
        drawn["predictions"] = Drawing(
            pictures.prediction_panel(
                [picture.image for picture in panel],
                [f"{split} #{picture.id}, is {labels[picture.truth]}" for picture in panel],
                [picture.top for picture in panel],
                [picture.truth for picture in panel],
            ),
            "",
        )
    return drawn


def _explained_figures(picture: Picture, explanation: LayerMaps) -> dict[str, Drawing]:
    said = (picture.predicted, picture.probability)
    return explanation.network_figures() | explanation.figures(heading(f"val #{picture.id}", said, picture.truth))


def _title(picture: Picture, labels: Mapping[str, str]) -> str:
    said = f"{labels[picture.predicted]}  {quantity(picture.probability)}"
    return said if picture.truth == picture.predicted else f"{said}\nis {labels[picture.truth]}"
