"""Scores against scikit-learn, SciPy and closed forms, on real predictions."""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from thirtytwo.errors import UserError
from thirtytwo.evaluation import metrics
from thirtytwo.evaluation.estimate import Estimate, wilson
from thirtytwo.evaluation.metrics import ECE, NLL, Accuracy, BalancedAccuracy, MacroF1, TopK
from thirtytwo.evaluation.per_class import per_class
from thirtytwo.evaluation.predictions import Predictions


def predictions_of(logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] | None = None) -> Predictions:
    names = classes or tuple(f"c{k}" for k in range(logits.shape[1]))
    return Predictions(logits.astype(np.float32), labels.astype(np.int64), names, np.arange(len(labels)), split="test")


@pytest.fixture(scope="module")
def digits() -> Predictions:
    """360 real digits, scored by a regression on 400 others: about nine in ten right."""
    images, labels = load_digits(return_X_y=True)
    model = LogisticRegression(C=0.05, max_iter=500).fit(images[:400] / 16, labels[:400])
    return predictions_of(model.decision_function(images[-360:] / 16), labels[-360:], tuple("0123456789"))


@pytest.mark.parametrize(("successes", "n"), [(356, 360), (0, 7), (7, 7), (1, 1), (1, 3), (8947, 10_000)])
def test_wilson_is_scipys(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    found = wilson(successes, n)
    assert (found.value, found.n) == (successes / n, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_interval_in_the_readme() -> None:
    found = wilson(356, 360)
    assert (round(found.low, 3), round(found.high, 3)) == (0.972, 0.996)


def test_accuracy_and_top_k_are_scikit_learns(digits: Predictions) -> None:
    assert 0.8 < Accuracy()(digits).value < 0.99
    assert Accuracy()(digits).value == sk.accuracy_score(digits.labels, digits.predicted)
    for k in (1, 2, 5):
        found = TopK(k)(digits)
        assert found is not None
        assert found.value == sk.top_k_accuracy_score(digits.labels, digits.logits, k=k)


def test_top_1_is_accuracy_with_ties_too() -> None:
    draw = np.random.default_rng(0)
    tied = predictions_of(draw.integers(3, size=(500, 7)), draw.integers(7, size=500))
    assert TopK(1)(tied) == Accuracy()(tied)


def test_balanced_accuracy_is_scikit_learns_and_is_left_out_where_it_is_the_accuracy(digits: Predictions) -> None:
    found = BalancedAccuracy()(digits)
    assert found is not None and found.low < found.value < found.high
    assert found.value == pytest.approx(sk.balanced_accuracy_score(digits.labels, digits.predicted))
    even = np.sort(np.concatenate([np.flatnonzero(digits.labels == k)[:20] for k in range(10)]))
    assert BalancedAccuracy()(predictions_of(digits.logits[even], digits.labels[even])) is None


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([14, 15, 14, 15], [0.8] * 4),
        ([14, 15, 14, 15], [0.97] * 4),
        ([35, 36, 37], [0.97] * 3),
        ([300, 60, 12], [0.97, 0.9, 0.9]),
        ([6, 40, 300], [0.5, 0.8, 0.95]),
    ],
)
def test_balanced_accuracys_interval_covers_the_truth(sizes: list[int], shares: list[float]) -> None:
    """In 1,500 samples: within three standard errors of 95 %, or more."""
    draw, labels = np.random.default_rng(0), np.repeat(np.arange(len(sizes)), sizes)
    covered = 0
    for _ in range(1500):
        right = draw.random(len(labels)) < np.array(shares)[labels]
        found = BalancedAccuracy()(predictions_of(np.eye(len(sizes))[np.where(right, labels, labels - 1)], labels))
        covered += found.low <= np.mean(shares) <= found.high
    assert 0.933 < covered / 1500 < 0.99
    sure = BalancedAccuracy()(predictions_of(np.eye(len(sizes))[labels], labels))
    assert sure.value == sure.high == 1 and sure.low < 0.99


def test_nll_is_the_mean_log_loss_with_its_normal_interval(digits: Predictions) -> None:
    losses = -np.log(digits.probabilities[np.arange(len(digits)), digits.labels])
    low, high = stats.norm.interval(0.95, losses.mean(), stats.sem(losses))
    found = NLL()(digits)
    assert found.value == pytest.approx(sk.log_loss(digits.labels, digits.probabilities))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_nll_of_certain_but_wrong_logits_is_finite() -> None:
    found = NLL()(predictions_of(np.array([[0.0, 900.0], [900.0, 0.0]]), np.array([0, 0])))
    assert found.value == 450.0


def test_confusion_and_class_scores_are_scikit_learns(digits: Predictions) -> None:
    assert (metrics.confusion(digits) == sk.confusion_matrix(digits.labels, digits.predicted)).all()
    expected = sk.precision_recall_fscore_support(digits.labels, digits.predicted)
    for scores, precision, recall, f1, support in zip(per_class(digits), *expected, strict=True):
        assert scores.support == support
        assert (scores.precision.value, scores.recall.value, scores.f1.value) == pytest.approx((precision, recall, f1))
        assert scores.recall == wilson(round(recall * support), int(support))
        assert scores.precision.n == scores.predicted
        for score in (scores.precision, scores.recall, scores.f1):
            assert 0 <= score.low <= score.value <= score.high <= 1
            assert score.low < score.high


def test_macro_f1_is_scikit_learns_and_lies_in_its_interval(digits: Predictions) -> None:
    found = MacroF1()(digits)
    assert found.value == pytest.approx(sk.f1_score(digits.labels, digits.predicted, average="macro"))
    assert found.low < found.value < found.high
    accuracy = Accuracy()(digits)
    assert found.high - found.low == pytest.approx(accuracy.high - accuracy.low, rel=0.2)


def test_ece_is_the_textbooks(digits: Predictions) -> None:
    confidence, correct, expected = digits.probabilities.max(axis=1), digits.correct, 0.0
    for edge in range(15):
        inside = (confidence > edge / 15) & (confidence <= (edge + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert ECE()(digits).value == pytest.approx(expected)


def test_reliability_bins_partition_the_split_and_add_up_to_ece(digits: Predictions) -> None:
    bins = metrics.reliability(digits)
    assert len(bins) == 15
    assert sum(b.accuracy.n for b in bins) == len(digits)
    filled = [b for b in bins if b.accuracy.n]
    assert all(b.low < b.confidence <= b.high for b in filled)
    total = sum(b.accuracy.n * abs(b.accuracy.value - b.confidence) for b in filled) / len(digits)
    assert ECE()(digits).value == pytest.approx(total)


def calibrated(n: int, seed: int, sharpness: float = 1.0) -> Predictions:
    """Labels drawn from the model's own probabilities; a sharpness above 1 then makes it overconfident."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(n, 4)) * 1.5
    gumbel = draw.gumbel(size=(n, 4))
    return predictions_of(logits * sharpness, (logits + gumbel).argmax(axis=1))


def test_the_calibration_interval_holds_zero_for_a_calibrated_model_and_not_for_an_overconfident_one() -> None:
    honest = [ECE()(calibrated(300, seed)) for seed in range(20)]
    assert min(e.value for e in honest) > 0, "noise alone gives every model some calibration error"
    assert sum(e.low == 0 for e in honest) >= 18
    assert all(ECE()(calibrated(300, seed, sharpness=3.0)).low > 0 for seed in range(5))
    assert all(e.low <= e.value <= e.high for e in honest)


def test_a_calibrated_model_shows_what_it_would_be_expected_to_show() -> None:
    expected = metrics.calibrated_ece(calibrated(300, 0))
    shown = [ECE()(calibrated(300, seed)).value for seed in range(20)]
    assert expected.low < np.mean(shown) < expected.high
    assert np.mean(shown) == pytest.approx(expected.value, rel=0.15)


def test_scores_come_in_a_fixed_order_and_repeat_bit_for_bit(digits: Predictions) -> None:
    first = metrics.scores(digits)
    assert list(first) == ["accuracy", "balanced_accuracy", "top5", "nll", "ece", "macro_f1"]
    assert first == metrics.scores(digits)
    few = predictions_of(digits.logits[:, :5], digits.labels % 5)
    assert list(metrics.scores(few)) == ["accuracy", "balanced_accuracy", "nll", "ece", "macro_f1"]
    assert TopK(5)(few) is None


def test_a_class_without_images_is_not_measured_and_nothing_warns() -> None:
    logits = np.eye(7)[[0, 0, 1, 2]] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = predictions_of(logits, np.array([0, 1, 1, 1]))
        classes = per_class(found)
        scores = metrics.scores(found)
    absent, only_predicted = classes[3], classes[2]
    assert math.isnan(absent.recall.value) and math.isnan(absent.precision.value) and math.isnan(absent.f1.value)
    assert (absent.recall.low, absent.recall.high, absent.recall.n) == (0.0, 1.0, 0)
    assert math.isnan(only_predicted.recall.value)
    assert (only_predicted.precision.value, only_predicted.f1.value) == (0.0, 0.0)
    assert scores["macro_f1"].value == pytest.approx(np.mean([2 / 3, 0.5, 0.0]))


@pytest.mark.parametrize("n", [1, 2, 360])
def test_all_right_is_never_certain(n: int) -> None:
    labels = np.arange(n) % 10
    scores = metrics.scores(predictions_of(np.eye(10)[labels] * 30, labels))
    low = wilson(n, n).low
    assert scores["accuracy"] == scores["macro_f1"] == Estimate(1.0, low, 1.0, n)
    assert scores["ece"].high == pytest.approx(1 - low, abs=1e-6)


def test_no_image_gives_no_score() -> None:
    scores = metrics.scores(predictions_of(np.zeros((0, 10)), np.zeros(0)))
    assert all(math.isnan(score.value) and score.n == 0 for score in scores.values())


def test_logits_from_anywhere_have_the_scores_of_the_same_predictions(digits: Predictions) -> None:
    expected = metrics.scores(digits)
    assert metrics.scores(digits.logits, digits.labels) == expected
    logits = torch.tensor(digits.logits, requires_grad=True)
    assert metrics.scores(logits, torch.tensor(digits.labels, dtype=torch.int32), classes=digits.classes) == expected
    coarse = metrics.scores(logits.bfloat16(), torch.tensor(digits.labels))
    assert coarse["nll"].value == pytest.approx(expected["nll"].value, rel=0.01)


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (np.zeros(3), [0, 1, 2], ["logits", "(3,)", "(N, K)"]),
        (np.zeros((3, 1)), [0, 0, 0], ["logits", "(3, 1)"]),
        (np.zeros((0, 3)), [], ["logits", "(0, 3)"]),
        (np.zeros((3, 4), dtype=int), [0, 1, 2], ["logits", "int64", "softmax"]),
        (np.full((2, 3), np.nan), [0, 1], ["logits", "finite"]),
        (np.full((2, 4), 0.25), [0, 1], ["logits", "probabilities"]),
        ([[1.0, 2.0], [3.0]], [0, 1], ["logits", "cannot be read"]),
        (np.zeros((2, 3)), None, ["labels", "(0,)"]),
        (np.zeros((2, 3)), np.eye(3)[:2], ["labels", "(2, 3)"]),
        (np.zeros((2, 3)), [0.0, 1.0], ["labels", "float64", "integers"]),
        (np.zeros((2, 3)), [True, False], ["labels", "bool"]),
        (np.zeros((2, 3)), [0, 3], ["labels", "0 to 3", "0..2"]),
        (np.zeros((2, 3)), [-1, 0], ["labels", "-1 to 0"]),
    ],
)
def test_logits_that_cannot_be_scored_are_one_line(logits: object, labels: object, words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        metrics.scores(logits, labels)
    message = str(refused.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_each_class_has_a_name(digits: Predictions) -> None:
    with pytest.raises(UserError, match="classes: 2 names for logits of 10 columns"):
        metrics.scores(digits.logits, digits.labels, classes=("a", "b"))


def test_a_metric_over_images_is_the_mean_of_its_images(digits: Predictions) -> None:
    for name in metrics.image_scores():
        metric = metrics.image_metric(name)
        of_images = metric.of_images(digits)
        assert of_images.shape == (len(digits),)
        assert metric(digits).value == pytest.approx(of_images.mean())
        assert set(np.unique(of_images).tolist()) == {0, 1} or not metric.binary
    assert metrics.image_scores() == ["accuracy", "top5", "nll"]
    with pytest.raises(
        UserError, match=r"score 'ece': is not a mean over images: compare runs by accuracy, top5, nll$"
    ):
        metrics.image_metric("ece")
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        metrics.image_metric("acuracy")


def test_scores_need_no_torch_and_scipy_only_when_they_are_computed() -> None:
    code = "import sys, thirtytwo.evaluation.metrics, thirtytwo.evaluation.compare, thirtytwo.evaluation.statistics;"
    code += "print({'torch', 'scipy', 'sklearn'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
