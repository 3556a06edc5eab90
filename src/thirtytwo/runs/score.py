"""Score a trained run on a split, and store all that a report needs. Test is scored only here."""

import numpy as np
import torch

from thirtytwo.data.imageset import ImageSet
from thirtytwo.device import Device
from thirtytwo.evaluation.predict import least_sure, logits, predict
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.explain.layers import explain
from thirtytwo.models.classifier import Classifier
from thirtytwo.rng import numpy_generator
from thirtytwo.runs.loading import images_of
from thirtytwo.runs.run import Run
from thirtytwo.runs.scored import require_readable, store_scores

WRONG, RIGHT = 500, 36
"""At most this many wrongly and rightly classified pictures are kept for the report ..."""
PIXELS = 64 * 2**20
"""... and of the wrong ones no more than these bytes of pixels: 500 up to 211 x 211 in colour, 85 of 512 x 512."""


def score(run: Run, model: Classifier, images: ImageSet, device: Device, split: str, *, by: str) -> None:
    """Predict the images of ``split`` ("val" or "test") and store predictions, examples and scores in the run.

    Scoring test is a look: it is recorded, with who asked for it (``by``: "train", "test", "study" or "import").
    """
    require_readable(run)  # what is read again below, after the look
    evaluate, limit = run.recipe.evaluate, None if split == "val" else views_limit(run)
    plain, averaged = predict(
        model, images, device, split=split, views=evaluate.views, share=evaluate.views_share, limit=limit
    )
    if split == "test":
        accuracies = {each.views: float(each.correct.mean()) for each in (plain, averaged) if each is not None}
        run.record_look(by, len(plain), accuracies)
    run.write_predictions(plain, averaged)
    most = max(RIGHT, min(WRONG, PIXELS // images.images[0].numel()))
    chosen = _examples(plain, most, run.recipe.seed)
    run.write_pictures(split, images.images[chosen].numpy(), plain.ids[chosen])
    if split == "val":
        typical = _typical(plain)
        run.write_explanation(explain(model, images.images[typical]), int(plain.ids[typical]))
    store_scores(run, *(each for each in (plain, averaged) if each is not None))


def train_accuracy(model: Classifier, train: ImageSet, device: Device, count: int, seed: int) -> tuple[float, int]:
    """The share of right answers on up to ``count`` of the training images, as they are, and how many they were.

    What it exceeds val's accuracy by is how much of what the network knows is about these images alone.
    """
    chosen = np.sort(numpy_generator(seed, "train accuracy").permutation(len(train))[:count])
    some = train.select(chosen)
    right = logits(model, some.images, device).argmax(1) == some.labels
    return float(right.float().mean()), len(some)


def views_limit(run: Run) -> float:
    """The confidence up to which a run's images get views: what `Evaluate.views_share` of val's do not exceed.

    1, for all, where the run has stored no logits of val.
    """
    share = run.recipe.evaluate.views_share
    stored = run.predictions("val") if share < 1 else None
    return 1.0 if stored is None else least_sure(torch.from_numpy(stored[0].logits), share)


def score_test(run: Run, model: Classifier, device: Device, *, by: str, data: str | None = None) -> None:
    """Load a finished run's data again, from ``data`` if it was moved, and score its test split.

    Raises UserError when the images have changed.
    """
    images = images_of(run, "test", data)
    with run.owned():
        score(run, model, images, device, "test", by=by)


def _examples(predictions: Predictions, most: int, seed: int) -> np.ndarray:
    """Positions of ``most`` mistakes, most confident first, then of a random sample of right answers."""
    confidence = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(~predictions.correct)
    right = np.flatnonzero(predictions.correct)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    sample = numpy_generator(seed, "examples").permutation(right)[:RIGHT]
    return np.concatenate([worst, sample])


def _typical(predictions: Predictions) -> int:
    """Position of the picture to explain: of the first class with a right answer, the most confidently right one."""
    confidence = predictions.probabilities.max(axis=1)
    return int(np.lexsort((-confidence, predictions.labels, ~predictions.correct))[0])
