"""Progressive resizing: which sizes a training shows, and what is said of the time that it needs."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from thirtytwo import recipes
from thirtytwo.models import models
from thirtytwo.models.network import Network
from thirtytwo.training.loop import Clock
from thirtytwo.training.meter import Meter
from thirtytwo.training.resizing import GROWTH, Resizing
from thirtytwo.training.session import Session, prepare

STARTS = [1.0, 0.9, 0.75, 0.5, 0.3, 0.125]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("full_from", [0.01, 0.5, 0.99])
def test_sizes_grow_from_the_start_to_the_images_own_in_small_steps(start, full_from):
    resizing = Resizing(start, full_from)
    progress = np.linspace(0, 1, 10_000, endpoint=False)
    scales = np.array([resizing.scale(each) for each in progress])
    assert scales[0] == start and (scales[progress >= full_from] == 1).all()
    assert (np.diff(scales) >= 0).all() and np.diff(scales).max() <= GROWTH + 1e-9
    lengths = np.unique(scales[scales < 1], return_counts=True)[1] / len(progress)
    assert lengths == pytest.approx(full_from / max(1, len(lengths)), abs=3e-4), "each size as long as the others"
    for until in (0.0, 0.1, full_from, 0.999, 1.0):
        shown = (scales[progress < until] ** 2).sum() / len(progress)
        assert resizing.work(until) == pytest.approx(shown, abs=3e-4)


def test_images_shrink_as_pillow_shrinks_them():
    """Against another implementation: Pillow's bilinear filter, which averages over what a pixel covers, too."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8))
    smaller = Resizing(0.625, 0.5)(images.float() / 255, 0.0)
    assert smaller.shape == (8, 3, 20, 20) and smaller.is_contiguous(memory_format=torch.channels_last)
    for ours, image in zip(smaller, images, strict=True):
        theirs = np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).resize((20, 20), Image.Resampling.BILINEAR))
        assert (ours.permute(1, 2, 0).numpy() * 255) == pytest.approx(theirs, abs=1.5)


def test_a_training_shows_each_size_and_scores_the_images_as_they_are(tmp_path):
    seen: dict[bool, list[int]] = {True: [], False: []}

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen[self.training].append(x.shape[-1])
            return self.head(x.mean((2, 3)))

    with models.temporary():
        models.register_as("watching")(lambda channels, classes: Network(Watching()))
        recipe = recipes.find("digits-cnn").override({"model": "watching", "train.epochs": 4, "train.start_scale": 0.5})
        session = Session.new(recipe, out=tmp_path, device="cpu", test=False)
        for sizes in seen.values():
            sizes.clear()
        session.complete()
    steps = session.parts.steps
    assert seen[True] == sorted(seen[True]) and len(seen[True]) == steps
    shares = [seen[True].count(size) / steps for size in (4, 5, 6, 7, 8)]
    assert shares == pytest.approx([0.1875] * 4 + [0.25], abs=0.02)
    assert {*seen[False]} == {8}


def test_a_network_that_needs_the_images_own_size_is_named_before_anything_is_trained(tmp_path, cli):
    out = tmp_path / "runs"
    said = cli("train", "digits-cnn", "--out", out, "model=lenet", "data.size=32", "train.start_scale=0.5")
    assert said.code == 2 and "16 x 16 pixels, as train.start_scale=0.5 shows them" in said.err and not out.exists()
    frozen = cli("train", "digits-cnn", "--out", out, "train.freeze=all-but-head", "train.start_scale=0.5")
    assert frozen.code == 2 and "train.start_scale=0.5: only the head is trained" in frozen.err and not out.exists()
    assert cli("train", "digits-cnn", "--out", out, "train.start_scale=0").code == 2


def test_the_time_left_counts_that_later_images_are_larger(monkeypatch):
    changes = {"model": "speednet(widths=(8, 8, 8))", "train.epochs": 4, "train.start_scale": 0.5}
    recipe = recipes.find("digits-cnn").override(changes)
    parts = prepare(recipe, "cpu")
    now = [100.0]
    monkeypatch.setattr("thirtytwo.training.loop.time.monotonic", lambda: now[0])
    clock = Clock(0.0, 0, 0)
    for step in range(1, parts.steps + 1):
        now[0] += parts.resizing.scale((step - 1) / parts.steps) ** 2
        if step > 1:
            total = parts.resizing.work(1) * parts.steps
            left = clock.progress(parts, Meter(step=step)).remaining
            assert clock.seconds + left == pytest.approx(total, rel=0.02), "right from the start"
