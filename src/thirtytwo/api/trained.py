"""A trained run: score it, predict with it, look into it, report on it."""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from typing_extensions import TypeIs

from thirtytwo.data import parallel, reading
from thirtytwo.data.given import as_png
from thirtytwo.data.imageset import ImageSet
from thirtytwo.data.parallel import BLOCK
from thirtytwo.data.picture import BadPicture
from thirtytwo.data.reading import Source
from thirtytwo.data.waiting import busy
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.evaluation import metrics
from thirtytwo.evaluation.estimate import Estimate, titled
from thirtytwo.evaluation.predict import averaged_logits, logits
from thirtytwo.explain import Explanation, explanations
from thirtytwo.models.classifier import Classifier
from thirtytwo.paths import NUMBERED, readable
from thirtytwo.records import Card, EvaluationRecord
from thirtytwo.report.explained import Explained
from thirtytwo.report.html import write as write_report
from thirtytwo.report.view import explained
from thirtytwo.runs.card import unlike_training
from thirtytwo.runs.export import export
from thirtytwo.runs.loading import images_of, load_classifier
from thirtytwo.runs.run import Run
from thirtytwo.runs.score import score_test, views_limit
from thirtytwo.runs.scored import stored_scores
from thirtytwo.spec import Spec
from thirtytwo.study.folder import StudyFolder

if TYPE_CHECKING:
    import pandas

log = logging.getLogger("thirtytwo")

T = TypeVar("T")
Picture = str | Path | np.ndarray | Tensor | Image.Image

EXPLAINED = 60
"""Maximum number of pictures to explain at a time: they share one figure."""


@dataclass(frozen=True)
class Answer:
    """What a model says about one picture: classes with their probabilities, most probable first.

    >>> from thirtytwo import Answer
    >>> print(Answer("seven.png", classes=("7", "1"), probabilities=(0.99, 0.01)))
    seven.png: 7 (99.0%)
    """

    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.classes[0]} ({self.probabilities[0]:.1%})"

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<td>{escape(label)} {share:.1%}</td>"
            for label, share in zip(self.classes, self.probabilities, strict=True)
        )
        return f"<table><tr><th>{escape(self.name)}</th>{cells}</tr></table>"


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A picture as the network takes it, uint8 (C, H, W), with its true class where that is known."""

    name: str
    image: Tensor
    truth: str | None


class TrainedRun:
    """A run that has been trained: score it on test, predict with it, report on it.

    >>> import thirtytwo
    >>> run = thirtytwo.train("digits-cnn", epochs=3, progress=False)
    >>> run.scores()["accuracy"].value > 0.8
    True
    >>> run.predict_proba("val:712").shape
    (1, 10)
    """

    def __init__(self, run: Run, device: Device, data: str | None = None) -> None:
        self.run = run
        self.device = device
        self.data = data
        self._images: dict[str, ImageSet] = {}

    @classmethod
    def open(cls, path: str | Path, *, device: str = "auto", data: str | None = None) -> "TrainedRun":
        """Open a run's folder; ``data`` is where its images are now, if they were moved.

        Raises UserError when there is no run, or ``device`` is not available here.
        """
        run = Run.open(path)
        return cls(run, Device.choose(device, run.env.get("precision", "auto")), data)

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.run.path

    @cached_property
    def model(self) -> Classifier:
        """The trained network, in evaluation mode: float images (B, C, H, W) in 0..1 -> logits (B, K)."""
        return load_classifier(self.run, self.device)

    @cached_property
    def card(self) -> Card:
        """How to use the weights: classes, size, channels. Raises UserError while there are no weights."""
        self.run.read_weights()
        return self.run.require_trained()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return tuple(self.card["classes"])

    def scores(self, split: str = "test") -> dict[str, Estimate]:
        """The stored scores of a split without test-time augmentation, each with its interval; empty if not scored."""
        return next((each.scores for each in stored_scores(self.run) if (each.split, each.views) == (split, 1)), {})

    def history(self) -> "pandas.DataFrame | list[EvaluationRecord]":
        """The evaluations during training: a table where pandas is installed, else a list of records.

        Columns: step, epoch, lr, train_loss (as it was minimised), train_accuracy (with augmentation), val_loss (nats),
        val_accuracy (accuracies in 0..1), seconds.
        """
        records = self.run.metrics()
        try:
            import pandas
        except ImportError:
            return records
        return pandas.DataFrame(records)

    def test(self) -> dict[str, Estimate]:
        """Score the test split once more. This counts as a look, and is recorded.

        Raises UserError for a run of a study that is still open.
        """
        if study := StudyFolder.withholding(self.run.path):
            raise UserError(
                f"{self.path}: belongs to a study, whose runs are scored on test together and once: "
                f"`thirtytwo study close {study.path}`"
            )
        score_test(self.run, self.model, self.device, by="test", data=self.data)
        return self.scores("test")

    def predict(self, pictures: Picture | Iterable[Picture], top: int = 3, *, invert: bool = False) -> list[Answer]:
        """Classify pictures: paths, PIL images, uint8 arrays (H, W) or (H, W, C), uint8 tensors (H, W) or (C, H, W).

        One picture, several, or a batch of arrays (N, H, W[, C]) or tensors (N[, C], H, W). Each is brought to the
        training's size and channels as the training images were. ``"val:12"`` and ``"train:3"`` are images of the run's
        own data, by their numbers in the official split that they were cut from, as in reports; ``"test:5"`` is one
        that the report shows.

        ``invert`` swaps dark and light first: for black digits on white, where the training's are white on black. A
        warning says when the pictures are much darker or lighter than those of the training. Raises UserError for a
        picture that cannot be read.
        """
        return [_whole(each) for each in self.predict_each(pictures, top, invert=invert)]

    def predict_each(
        self, pictures: Picture | Iterable[Picture], top: int = 3, *, invert: bool = False
    ) -> Iterator[Answer | BadPicture]:
        """`predict`, one answer after the other, with an error in place of the answer where a picture cannot be read.

        >>> import thirtytwo
        >>> run = thirtytwo.train("digits-cnn", epochs=3, progress=False)
        >>> [str(each) for each in run.predict_each(["none.png"])]
        ['none.png: no such file']
        """
        found = self._prepared(pictures, invert)
        while block := list(islice(found, BLOCK)):
            answers = iter(self._answer([each for each in block if isinstance(each, _Prepared)], top))
            yield from (next(answers) if isinstance(each, _Prepared) else each for each in block)

    def predict_proba(self, pictures: Picture | Iterable[Picture], *, invert: bool = False) -> np.ndarray:
        """The probability of each class, float64 (N, K) in the order of `classes`; rows sum to 1.

        ``pictures`` and ``invert`` as in `predict`.
        """
        found, rows = map(_whole, self._prepared(pictures, invert)), [np.zeros((0, len(self.classes)))]
        while block := list(islice(found, BLOCK)):
            rows.append(self._probabilities(block).numpy())
        return np.concatenate(rows)

    def explain(
        self,
        pictures: Picture | Iterable[Picture] | None = None,
        how: str = "layers",
        *,
        top: int = 3,
        invert: bool = False,
    ) -> Explained:
        """Show how the network comes to its answers: class probabilities, and an explanation of each picture.

        Args:
            pictures: as in `predict`, at most `EXPLAINED`; None takes the picture of val that the run keeps for this.
            how: the kind of explanation, with its arguments: "layers" (the first filters, and feature maps layer by
                layer), or one of your own, such as "occlusion(patch=4)".
            top: how many classes to show.
            invert: as in `predict`.

        Raises:
            UserError: for an unknown kind or wrong arguments, pictures that cannot be read, and too many of them.
        """
        explanations.check(how)
        if pictures is None:
            return self._explain_kept(how, top)
        chosen = [_whole(each) for each in self._prepared(pictures, invert)]
        if not 1 <= len(chosen) <= EXPLAINED:
            raise UserError(f"{len(chosen)} pictures to explain: name between 1 and {EXPLAINED} at a time")
        said = [list(zip(each.classes, each.probabilities, strict=True)) for each in self._answer(chosen, top)]
        found = [self._look(how, each.image, classes[0][0]) for each, classes in zip(chosen, said, strict=True)]
        images = [each.image.numpy() for each in chosen]
        return Explained([each.name for each in chosen], images, said, [each.truth for each in chosen], found)

    def _explain_kept(self, how: str, top: int) -> Explained:
        """Explain the picture that the run keeps; its layers are kept too, and need no network."""
        _ = self.card  # raises while there are no weights
        kept = explained(self.run, top)
        if kept is None:
            raise UserError(f"{self.path}: keeps no picture to explain: name one, `explain {self.path} PICTURE`")
        shown, layers = kept
        there = Spec.parse(how).name == "layers"
        found = layers if there else self._look(how, torch.from_numpy(shown.image), shown.predicted)
        return Explained([f"val-{shown.id}"], [shown.image], [shown.top], [shown.truth], [found])

    def _look(self, how: str, image: Tensor, called: str) -> Explanation:
        """Explain an image, uint8 (C, H, W), whose most probable class is ``called``."""
        label = self.classes.index(called)
        found = explanations.build(how, classifier=self.model.eval(), picture=image.clone(), label=label)
        if not isinstance(found, Explanation):
            raise UserError(f"explanation '{how}': gave {type(found).__name__}, not an Explanation")
        return found

    def _prepared(self, pictures: Picture | Iterable[Picture], invert: bool) -> Iterator["_Prepared | BadPicture"]:
        """The pictures as the network takes them, a block at a time: ten thousand large ones exceed the memory."""
        given: list[Picture] = [pictures] if _is_single(pictures) else list(pictures)
        names = [readable(str(e)) if isinstance(e, str | Path) else f"picture {i + 1}" for i, e in enumerate(given)]
        own = [_own(each) for each in given]
        others = [(name, each) for name, each, known in zip(names, given, own, strict=True) if known is None]
        card, means = self.card, []
        decode = partial(reading.pixels, size=card["size"], channels=card["channels"], fit=card["fit"], invert=invert)
        decoded = parallel.each(decode, (_source(name, each) for name, each in others), len(others))
        for name, known in zip(names, own, strict=True):
            if known is not None:
                found = self._own_image(known["split"], int(known["number"]))
                prepared = replace(found, image=255 - found.image) if invert else found
            else:
                pixels = next(decoded)
                if isinstance(pixels, BadPicture):
                    yield pixels
                    continue
                prepared = _Prepared(name, torch.from_numpy(pixels), None)
            means.append(prepared.image.numpy().mean((1, 2)) / 255)
            yield prepared
        if told := unlike_training(self.card, np.array(means), inverted=invert):
            log.warning("%s", told)

    @cached_property
    def _views_limit(self) -> float:
        return views_limit(self.run)

    def _answer(self, pictures: list["_Prepared"], top: int) -> list[Answer]:
        if not pictures:
            return []
        probabilities, order = self._probabilities(pictures).sort(descending=True)
        return [
            Answer(each.name, tuple(self.classes[k] for k in ks[:top]), tuple(ps[:top]))
            for each, ks, ps in zip(pictures, order.tolist(), probabilities.tolist(), strict=True)
        ]

    def _probabilities(self, pictures: list["_Prepared"]) -> Tensor:
        """float64 (N, K), with the recipe's test-time augmentation."""
        images = torch.stack([each.image for each in pictures])
        scores, views = logits(self.model, images, self.device), self.run.recipe.evaluate.views
        if views != "none":
            scores = averaged_logits(self.model, images, self.device, scores, views=views, limit=self._views_limit)
        return scores.double().softmax(1)

    def report(self) -> Path:
        """Write report.html and figures/ again from the files in the run's folder."""
        with busy("drawing the report"):
            return write_report(self.run)

    def export(self, file: str | Path) -> Path:
        """Write the network's state dict as ``.pth`` or ``.safetensors``, and a JSON file that says how to use it."""
        export(self.run, Path(file))
        return Path(file)

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.path)!r})"

    def _repr_html_(self) -> str:
        rows = ""
        for each in stored_scores(self.run):
            for name, score in each.scores.items():
                title, unit, _ = metrics.described(name)
                rows += f"<tr><th>{each.name}</th><td>{escape(titled(title, unit))}</td>"
                rows += f"<td>{score.number(unit)}</td><td>{score.interval(unit)}</td></tr>"
        return f"<table><caption>{escape(self.run.name)}</caption>{rows}</table>"

    def _own_image(self, split: str, number: int) -> "_Prepared":
        """An image of the run's data; for test, one that the run keeps for its report.

        Raises UserError when the split has no image of that number, or has changed.
        """
        if split == "test":
            kept, scored = self.run.pictures("test"), self.run.predictions("test")
            if kept is None or scored is None or number not in kept[1]:
                raise UserError(f"test:{number}: {self.path} shows no such image of test: name one from its report")
            image, label = kept[0][kept[1] == number][0], scored[0].labels[scored[0].ids == number][0]
            return self._shown(f"test-{number}", torch.from_numpy(image), self.classes[label])
        images = self._own_images(split)
        places = (images.ids == number).nonzero()
        if not len(places):
            some = ", ".join(map(str, images.ids[:3].tolist()))
            raise UserError(f"{split}:{number}: {self.path} has no such image in {split} (but it has {some} ...)")
        place = int(places[0])
        return self._shown(f"{split}-{number}", images.images[place], images.classes[int(images.labels[place])])

    def _own_images(self, split: str) -> ImageSet:
        if split not in self._images:
            self._images[split] = images_of(self.run, split, self.data)
        return self._images[split]

    def _shown(self, name: str, image: Tensor, truth: str) -> "_Prepared":
        """An image of the data: a network that was trained on RGB takes a grey one as three equal channels."""
        return _Prepared(name, image.expand(self.card["channels"], -1, -1), truth)


def _own(picture: object) -> re.Match[str] | None:
    """``val:12`` as split and number, unless it is a file."""
    found = NUMBERED.fullmatch(str(picture)) if isinstance(picture, str | Path) else None
    return None if found is None or Path(found.string).exists() else found


def _source(name: str, picture: Picture) -> Source:
    return name, str(picture) if isinstance(picture, str | Path) else as_png(picture, name)


def _whole(each: T | BadPicture) -> T:
    """What was made of a picture; raises the error of one that cannot be read."""
    if isinstance(each, BadPicture):
        raise each
    return each


def _is_single(pictures: object) -> TypeIs[Picture]:
    """Whether this is one picture. A 3-D array or tensor is one where its channel axis has a length of 1, 3 or 4."""
    if not isinstance(pictures, np.ndarray | Tensor):
        return isinstance(pictures, str | Path | Image.Image)
    if pictures.ndim == 3:
        return pictures.shape[2 if isinstance(pictures, np.ndarray) else 0] in (1, 3, 4)
    return pictures.ndim != 4
