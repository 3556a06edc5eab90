"""Images that do not fit on a device are streamed to it: the same batches, whatever the order of the steps."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from thirtytwo import Feed, recipes
from thirtytwo.data.load import load
from thirtytwo.training import storage
from thirtytwo.training.session import Session
from thirtytwo.training.storage import Resident, Streamed, fetching

CPU = torch.device("cpu")
STEPS = {"one after the other": range(30), "from the middle": range(12, 25), "any": [5, 2, 2, 3, 28, 0, 1, 1]}


@pytest.fixture(params=["in memory", "mapped"])
def images(request, tmp_path):
    digits = (load_digits().images * 16).clip(0, 255).astype(np.uint8)[:, None]
    if request.param == "in memory":
        return torch.from_numpy(digits)
    np.save(tmp_path / "digits.npy", digits)
    return torch.from_numpy(np.load(tmp_path / "digits.npy", mmap_mode="c"))


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_streamed_batches_are_those_of_images_on_the_device(images, steps):
    def order(step: int) -> torch.Tensor:
        return torch.randperm(len(images), generator=torch.Generator().manual_seed(step))[:64]

    resident, streamed = Resident(images, CPU), Streamed(images, order, CPU)
    kept = [(streamed(step, order(step)), resident(step, order(step))) for step in steps]
    for ours, expected in kept:  # compared at the end: no later batch was written over an earlier one
        assert torch.equal(ours, expected)


def test_a_feed_that_streams_gives_the_same_training(tmp_path, monkeypatch):
    recipe = recipes.find("digits-cnn").override({"train.epochs": 3, "augment": "flip_alternating|translate(1)"})
    weights = []
    for kind in (lambda images, order, device: Resident(images, device), Streamed):
        monkeypatch.setattr("thirtytwo.training.feed.fetching", kind)
        session = Session.new(recipe, out=tmp_path, device="cpu", test=False)
        session.complete()
        weights.append(session.run.read_weights())
    assert weights[0] == weights[1]


def test_a_processor_reads_its_own_memory(images):
    assert isinstance(fetching(images, lambda step: torch.tensor([step]), CPU), Resident)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_without_room_is_streamed_to(monkeypatch):
    train = load("digits").train
    resident = Feed(train, batch_size=100, augment="translate(1)", device="cuda")
    monkeypatch.setattr(storage, "ROOM", 0.0)
    streamed = Feed(train, batch_size=100, augment="translate(1)", device="cuda")
    for step in range(40):
        assert torch.equal(resident.batch(step).images, streamed.batch(step).images)
