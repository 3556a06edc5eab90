"""What a GPU computes is what the processor computes. Run there, too, to show that the tests are right."""

import pytest
import torch

import thirtytwo
from thirtytwo import recipes
from thirtytwo.data.load import load
from thirtytwo.device import Device
from thirtytwo.runs.loading import load_classifier, load_splits
from thirtytwo.training.build import build
from thirtytwo.training.loop import advance
from thirtytwo.training.session import Session

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
RECIPE = recipes.find("digits-cnn").override(
    {"model": "speednet(widths=(16, 16, 16))", "data.size": 16, "train.epochs": 6, "train.start_scale": 0.5}
)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NO_GPU)])
def device(request):
    return request.param


@pytest.fixture
def run(device, tmp_path):
    """Trained on the device."""
    session = Session.new(RECIPE, out=tmp_path, device=device)
    session.complete()
    return session.run


def test_the_same_images_in_the_same_order(device):
    ours, expected = (thirtytwo.Feed(load("digits").train, batch_size=100, device=each) for each in (device, "cpu"))
    for step in (0, 5, 16, 17, 40):
        found, wanted = ours.batch(step), expected.batch(step)
        assert torch.equal(found.ids.cpu(), wanted.ids) and torch.equal(found.images.cpu(), wanted.images)
        assert torch.equal(found.targets.cpu(), wanted.targets)


def test_a_network_trained_there_says_the_same_on_the_processor(device, run):
    opened = thirtytwo.open_run(run.path)
    assert opened.scores("test")["accuracy"].value > 0.85
    val = load_splits(run.recipe).val
    there, here = (load_classifier(run, Device.choose(each, "float32")) for each in (device, "cpu"))
    images = val.images.float() / 255
    with torch.inference_mode():
        on_device = there(images.to(device)).cpu()
        torch.testing.assert_close(on_device, here(images), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_step_waits_for_the_device(device, compiled):
    recipe = RECIPE.override({"train.compile": compiled})
    parts = build(recipe, Device.choose(device), load_splits(recipe))
    forward = parts.forward
    for step in range(3):  # the order of the epoch is drawn and copied once; cuDNN tries its algorithms
        advance(parts, forward, step, 1.0)
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [advance(parts, forward, step, 1.0)[0] for step in range(3, 10)]
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert torch.stack(losses).isfinite().all()


def test_images_without_room_are_streamed_into_the_same_training(device, tmp_path, monkeypatch):
    weights = []
    for room in (0.5, 0.0):
        monkeypatch.setattr("thirtytwo.training.storage.ROOM", room)
        session = Session.new(RECIPE.override({"train.epochs": 2}), out=tmp_path, device=device, test=False)
        session.complete()
        weights.append(load_classifier(session.run, Device.choose("cpu", "float32")).state_dict())
    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, rtol=1e-2, atol=1e-2, msg=name)
