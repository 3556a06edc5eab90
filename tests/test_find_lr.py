"""The learning-rate range test: what it trains, where it stops, what it suggests, and that the suggestion trains."""

import json
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import thirtytwo
from thirtytwo import recipes
from thirtytwo.errors import UserError
from thirtytwo.figures import canvas
from thirtytwo.range_test import EXPLODED, RangeTest, ladder, range_test
from thirtytwo.recipe import Recipe, parse_assignments
from thirtytwo.tracking import Listener
from thirtytwo.training.session import prepare

OPTIMIZERS = {
    "adamw": ["optim.lr=0.0001"],
    "sgd": ["optim.name=sgd", "optim.lr=0.5"],
    "muon": ["optim.name=muon", "optim.lr=1", "optim.bias_lr=2", "optim.head_lr=2"],
}
"""Each at a rate that a newcomer might guess, and that does not suit the digits."""


def digits(*words: str) -> Recipe:
    return recipes.find("digits-cnn").override(parse_assignments([*words]))


def measured(losses: np.ndarray, steps: int = 100) -> RangeTest:
    """A test of the digits with these losses."""
    recipe = digits()
    return RangeTest(recipe, steps, ladder(recipe, steps=steps)[: len(losses)], tuple(losses.tolist()))


def descent(noise: float, seed: int) -> np.ndarray:
    """Losses that fall from 2.3 to 0.8 around the 50th of 100 steps, and explode after the 80th."""
    steps = np.arange(100)
    smooth = 2.3 - 1.5 / (1 + np.exp((50 - steps) / 4)) + np.where(steps > 80, (steps - 80.0) ** 3, 0)
    return smooth + np.random.default_rng(seed).normal(scale=noise, size=100)


def test_rates_grow_by_the_same_factor_from_low_to_high():
    low, high, steps = 1e-4, 3.0, 37
    expected = [low * (high / low) ** (i / (steps - 1)) for i in range(steps)]
    rates = ladder(digits(), low, high, steps)
    assert list(rates) == expected and rates[0] == low and rates[-1] == pytest.approx(high)
    assert range_test(prepare(digits(), "cpu"), ladder(digits(), low, 0.1, 20), listener=Listener()).rates == ladder(
        digits(), low, 0.1, 20
    )
    own = ladder(digits("lr=0.02"))
    assert len(own) == 100 and own[0] == pytest.approx(0.02 / 1000) and own[-1] == pytest.approx(0.02 * 1000)


def test_at_a_rate_that_does_not_grow_it_is_the_training(tmp_path):
    recipe = digits("schedule=constant", "epochs=1", "precision=float32")
    parts = prepare(recipe, "cpu")
    lr = recipe.optim.lr
    found = range_test(parts, ladder(recipe, lr, lr * (1 + 1e-9), parts.feed.steps_per_epoch), listener=Listener())
    (logged,) = thirtytwo.train(recipe, out=tmp_path, device="cpu", test=False).run.metrics()
    assert np.mean(found.losses) == pytest.approx(logged["train_loss"], rel=1e-4)


def test_a_smoothed_loss_is_a_weighted_mean_that_stands_at_the_mean_of_its_rates():
    found = measured(descent(0.1, 0))
    for t in (0, 1, 7, 99):
        weights = 0.8 ** np.arange(t, -1, -1)
        weights /= weights.sum()
        assert found.smoothed[t] == pytest.approx(weights @ found.losses[: t + 1])
        assert np.log(found.centres[t]) == pytest.approx(weights @ np.log(found.rates[: t + 1]))


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1, 0.2])
def test_the_suggestion_is_the_steepest_point_within_the_width_of_the_mean(noise):
    rates = ladder(digits())
    for seed in range(50):
        suggestion = measured(descent(noise, seed)).suggestion
        assert suggestion is not None and rates[44] < suggestion < rates[56]


def test_noise_alone_gives_no_suggestion_nor_does_a_fall_in_the_first_steps_or_an_explosion():
    draw = np.random.default_rng(0)
    for steps in (20, 100, 1000):
        noisy = [measured(2.3 + 0.1 * draw.standard_normal(steps), steps).suggestion for _ in range(200)]
        assert sum(each is not None for each in noisy) <= 4
    flat = 2.3 + 0.01 * draw.standard_normal(100)
    early, exploded = flat.copy(), flat.copy()
    early[:5] += [2, 1, 0.5, 0.2, 0.1]
    exploded[60:] *= np.geomspace(1, 1e5, 40)
    for losses in (early, exploded, flat[:1], np.array([2.3, 1e9])):
        assert measured(losses).suggestion is None and measured(losses).overrides == {}


def test_the_same_recipe_gives_the_same_losses_without_looking_at_val_and_test():
    recipe = digits("model=vgg8", "data.size=16", "data.limit=100", "batch_size=16")  # which has dropout
    rates = ladder(recipe, steps=20)
    first = range_test(prepare(recipe, "cpu"), rates, listener=Listener())
    parts = prepare(recipe, "cpu")
    parts.splits = replace(parts.splits, val=None, test=None)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert range_test(parts, rates, listener=Listener()) == first
    assert torch.equal(torch.rand(3), expected)
    assert range_test(prepare(recipe.override({"seed": 1}), "cpu"), rates, listener=Listener()).losses != first.losses


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_suggested_rate_trains_at_least_as_well_as_one_a_hundredth_of_it(name, tmp_path):
    recipe = digits(*OPTIMIZERS[name], "epochs=6")
    found = range_test(prepare(recipe, "cpu"), ladder(recipe), listener=Listener())
    factor = found.overrides["optim.lr"] / recipe.optim.lr
    for key in ("bias_lr", "head_lr"):
        own = getattr(recipe.optim, key)
        assert found.overrides.get(f"optim.{key}") == (None if own is None else pytest.approx(own * factor, rel=0.05))
    small = {key: rate / 100 for key, rate in found.overrides.items()}
    accuracy, less = (
        thirtytwo.train(recipe.override(keys), out=tmp_path, device="cpu", test=False).scores("val")["accuracy"].value
        for keys in (found.overrides, small)
    )
    assert accuracy >= less and accuracy > 0.85


def test_an_explosion_ends_it():
    recipe = digits("optim.name=sgd")
    found = range_test(prepare(recipe, "cpu"), ladder(recipe, 0.1, 1e20, 200), listener=Listener())
    assert len(found.losses) == len(found.rates) < 200 and np.isfinite(found.losses).all()
    assert max(found.smoothed[:-1]) <= EXPLODED * min(found.smoothed)


def test_what_is_frozen_stays_as_it_was():
    recipe = digits("freeze=all-but-head")
    parts = prepare(recipe, "cpu")
    before = {name: value.clone() for name, value in parts.model.network.named_parameters()}
    range_test(parts, ladder(recipe, high=0.01, steps=20), listener=Listener())
    changed = {name for name, value in parts.model.network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == set(before) - set(parts.freeze.since)


def blue(file: Path) -> int:
    """Pixels of the curve's colour in a PNG file."""
    pixels = np.asarray(Image.open(file).convert("RGB")).astype(int)
    return int((abs(pixels - 255 * np.array(canvas.rgb(canvas.BLUE))).max(axis=2) < 8).sum())


def test_the_verb_draws_a_picture_suggests_a_command_and_makes_nothing_else(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("digits-cnn", "lr=0.1", "augment=none", "--device", "cpu")
    done = cli("find-lr", *words, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert [path.name for path in tmp_path.iterdir()] == [answer["figure"]] == ["find-lr-digits-cnn.png"]
    with Image.open(answer["figure"]) as picture:
        assert picture.format == "PNG" and picture.width > 500
    assert blue(tmp_path / answer["figure"]) > 300
    assert shlex.split(answer["command"]) == [
        *("thirtytwo", "train", "digits-cnn", "augment=none"),
        *(f"{key}={rate:g}" for key, rate in answer["overrides"].items()),
    ]
    assert len(answer["rates"]) == len(answer["losses"]) == len(answer["smoothed"]) <= answer["steps"] == 100
    shown = cli("find-lr", *words, "--out", "other.png")
    assert answer["command"] in shown.out and "cnn2, 14,698 parameters" in shown.out
    assert "parameters" not in cli("find-lr", *words, "--out", "third.png", "--quiet").out


def test_where_no_rate_lowers_the_loss_it_says_so_and_exits_with_1(cli, tmp_path):
    done = cli("find-lr", "--low", 1e-9, "--high", 1e-6, "--out", tmp_path / "a.png", "--quiet", "--device", "cpu")
    assert done.code == 1 and "no rate from 1e-09 to 1e-06 lowers the loss" in done.out and "raise --high" in done.out
    assert blue(tmp_path / "a.png") > 300
    hot = cli("find-lr", "--low", 1e6, "--high", 1e9, "--out", tmp_path / "b.png", "--json", "--device", "cpu")
    assert hot.code == 1 and json.loads(hot.out)["overrides"] == {} and json.loads(hot.out)["command"] is None


def test_a_mistake_is_one_line_before_anything_is_trained(cli, tmp_path):
    taken = tmp_path / "taken.png"
    taken.write_text("somebody's")
    for words, said in (
        (("--out", taken), "exists already"),
        (("--out", tmp_path / "no" / "a.png"), "folder does not exist"),
        (("--out", tmp_path / "a.svg"), "name it a.png"),
        (("--low", "1", "--high", "0.1"), "rates from 1 to 0.1"),
        (("--low", "0"), "rates from 0"),
        (("--high", "nan"), "to nan"),
        (("--steps", "19"), "19 steps are too few"),
        (("--steps", "many"), "--steps"),
        (("optim.lr=x",), "optim.lr"),
        (("digit-cnn",), "did you mean 'digits-cnn'"),
        (("data.source=nowhere",), "nowhere"),
        (("train.freeze=to:nowhere",), "no stage"),
        (("solver=knn", "freeze=all-but-head"), "no learning rate"),
    ):
        out = () if "--out" in words else ("--out", tmp_path / "new.png")
        done = cli("find-lr", *words, *out)
        assert done.code == 2 and said in done.err and done.err.count("\n") == 1 and not done.out, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"] and taken.read_text() == "somebody's"


def test_asked_to_stop_it_says_one_line_and_leaves_nothing(tmp_path):
    words = [sys.executable, "-m", "thirtytwo", "find-lr", "--steps", "1000000", "--device", "cpu"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and "14,698 parameters" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "interrupted: nothing was kept\n"
    assert not any(tmp_path.iterdir())


def test_from_python_it_shows_its_figure_and_its_overrides_fit_the_recipe(tmp_path):
    found = thirtytwo.find_lr("digits-cnn", device="cpu", high=1.0, train__batch_size=32)
    assert found.recipe.train.batch_size == 32 and f"optim.lr={found.suggestion:g}" in repr(found)
    assert found.recipe.override(found.overrides).optim.lr == found.suggestion
    assert 'src="data:image/png;base64,' in found._repr_html_()
    assert found.save(tmp_path / "a.png").is_file()
    with pytest.raises(UserError, match="exists already"):
        found.save(tmp_path / "a.png")
