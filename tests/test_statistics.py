"""What several seeds say together, on classifiers of the real digits."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from thirtytwo.evaluation.estimate import wilson
from thirtytwo.evaluation.predictions import Predictions, of
from thirtytwo.evaluation.statistics import Agreement, Ensemble, of_runs


@pytest.fixture(scope="module")
def runs() -> dict[int, Predictions]:
    """Three regressions, each on 100 digits of its own, on the same 360 others."""
    images, labels = load_digits(return_X_y=True)
    found = {}
    for seed in range(3):
        chosen = np.random.default_rng(seed).permutation(1437)[:100]
        model = LogisticRegression(C=0.05, max_iter=500).fit(images[chosen] / 16, labels[chosen])
        found[seed] = of(model.decision_function(images[-360:] / 16), labels[-360:])
    return found


def test_the_ensemble_is_the_mean_of_the_probabilities(runs) -> None:
    mean = sum(each.probabilities for each in runs.values()) / 3
    found = Ensemble()(runs)
    assert found == wilson(int((mean.argmax(axis=1) == runs[0].labels).sum()), 360)


def test_agreement_counts_images_of_one_answer(runs) -> None:
    answers = zip(*(each.predicted.tolist() for each in runs.values()), strict=True)
    assert Agreement()(runs) == wilson(sum(len({*said}) == 1 for said in answers), 360)
    same = {0: runs[0], 1: replace(runs[0])}
    assert Agreement()(same).value == 1 and Ensemble()(same).value == runs[0].correct.mean()


def test_a_single_seed_says_nothing_together(runs) -> None:
    assert list(of_runs(runs)) == ["ensemble", "agreement"]
    assert of_runs({0: runs[0]}) == {}
