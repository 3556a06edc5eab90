"""How scores with their intervals are written: in one place, for tables, reports and lists."""

import subprocess
import sys
from math import nan

import numpy as np
import pytest
from scipy import stats

from thirtytwo.evaluation.estimate import Estimate, normal_mean, number, points, quantity, titled, wilson


def test_percentages_have_a_second_decimal_from_2000_images_on():
    coarse, fine = wilson(1790, 1999), wilson(1790, 2000)
    assert (coarse.quantity(), coarse.interval()) == ("89.5 %", "[88.1, 90.8]")
    assert (fine.quantity(), fine.interval()) == ("89.50 %", "[88.08, 90.77]")
    assert coarse.number(fine=True) == "89.54" and fine.number(fine=False) == "89.5"


def test_a_difference_has_a_sign_and_a_spread_over_seeds():
    found = Estimate(-0.0044, -0.0083, -0.0005, 5)
    assert found.number(fine=True, sign="+") == "-0.44" and found.spread(fine=True) == "± 0.39"
    assert Estimate(0.0044, 0.0005, 0.0083, 5).interval(fine=True, sign="+") == "[+0.05, +0.83]"


def test_another_unit_is_not_a_percentage():
    loss = Estimate(0.04123, 0.03, 0.05, 10_000)
    assert (loss.number("nats"), loss.quantity("nats"), loss.interval("nats")) == (
        "0.0412",
        "0.0412 nats",
        "[0.0300, 0.0500]",
    )
    assert quantity(0.5, "") == "0.5000" and number(0.5) == "50.0"
    assert (titled("accuracy"), titled("Brier score", ""), titled("loss", "nats", capital=False)) == (
        "Accuracy, %",
        "Brier score",
        "loss, nats",
    )
    assert (points("%"), points("nats")) == ("percentage points", "nats")


def test_what_is_not_known_is_a_dash_and_no_interval():
    nothing, spread_unknown = wilson(0, 0), Estimate(0.9, nan, nan, 1)
    assert (nothing.quantity(), nothing.interval(), nothing.spread()) == ("–", "", "")
    assert (spread_unknown.quantity(), spread_unknown.interval(), spread_unknown.spread()) == ("90.0 %", "", "")


@pytest.mark.parametrize("shift", [0.0, 10.0])
def test_the_means_interval_is_scipys_and_stays_above_0_where_all_values_do(shift: float) -> None:
    values = np.random.default_rng(0).normal(shift, 1, 500)
    low, high = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    found = normal_mean(values)
    assert (found.low, found.high) == pytest.approx((low, high))
    rare = np.zeros(50)
    rare[0] = 1.0
    assert normal_mean(rare).low == 0.0 and normal_mean(rare - 0.01).low < -0.01


def test_writing_scores_needs_neither_numpy_nor_scipy():
    code = "import sys, thirtytwo.evaluation.estimate; print({'numpy', 'scipy', 'torch'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
