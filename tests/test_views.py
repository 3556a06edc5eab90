"""Test-time augmentation: averaged over the views that it says, for all images or for those that are least sure."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import pad

import thirtytwo
from thirtytwo import UserError
from thirtytwo.data.imageset import to_float
from thirtytwo.evaluation.predict import averaged_logits, confidence, least_sure, logits

SMALL = {"model": "cnn2(width=4)", "epochs": 2, "progress": False, "device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return thirtytwo.train(
        "digits-cnn", views="flip+shift", views_share=0.25, out=tmp_path_factory.mktemp("r"), **SMALL
    )


def forward(run, images):
    with torch.inference_mode():
        return run.model.eval()(to_float(images, torch.device("cpu")))


def test_every_image_is_averaged_over_its_views(run):
    images = torch.from_numpy((load_digits().images[:40] / 16 * 255).astype(np.uint8))[:, None]
    plain = logits(run.model, images, run.device)
    assert torch.allclose(plain, forward(run, images), atol=1e-4)
    flipped = (plain + forward(run, images.flip(-1))) / 2
    found = averaged_logits(run.model, images, run.device, plain, views="flip")
    assert torch.allclose(found, flipped, atol=1e-4) and not torch.allclose(found, plain, atol=1e-2)
    padded = pad(images.float(), (1, 1, 1, 1), mode="reflect").to(torch.uint8)
    shifted = [padded[..., a : a + 8, a : a + 8] for a in (0, 2)]
    pairs = [(forward(run, each) + forward(run, each.flip(-1))) / 2 for each in shifted]
    found = averaged_logits(run.model, images, run.device, plain, views="flip+shift")
    assert torch.allclose(found, (flipped + (pairs[0] + pairs[1]) / 2) / 2, atol=1e-4)


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 1.0])
def test_the_share_is_that_of_the_least_sure(share):
    draw = torch.randn(1000, 10, generator=torch.Generator().manual_seed(0))
    chosen = confidence(draw) <= least_sure(draw, share)
    assert chosen.sum() == pytest.approx(1000 * share, abs=1)
    assert share == 1 or confidence(draw)[chosen].max() <= confidence(draw)[~chosen].min()


def test_only_the_least_sure_images_get_views_by_the_measure_of_val(run):
    stored = {split: run.run.predictions(split) for split in ("val", "test")}
    limit = least_sure(torch.from_numpy(stored["val"][0].logits), 0.25)
    for split, (plain, averaged) in stored.items():
        sure = confidence(torch.from_numpy(plain.logits)).numpy() > limit
        same = (plain.logits == averaged.logits).all(1)
        assert (same[sure]).all() and not same[~sure].any(), split
        assert averaged.views == 6
        if split == "val":
            assert (~sure).sum() == pytest.approx(0.25 * len(plain), abs=1)


def test_an_answer_does_not_depend_on_the_pictures_beside_it(run):
    images = (load_digits().images[:60] / 16 * 255).astype(np.uint8)
    together = run.predict_proba(images)
    alone = np.concatenate([run.predict_proba(images[i : i + 1]) for i in range(60)])
    assert np.allclose(together, alone, atol=1e-5)
    everything = thirtytwo.open_run(run.path, device="cpu")
    plain = forward(run, torch.from_numpy(images)[:, None]).double().softmax(1).numpy()
    limit = least_sure(torch.from_numpy(run.run.predictions("val")[0].logits), 0.25)
    sure = plain.max(1) > limit
    assert np.allclose(everything.predict_proba(images)[sure], plain[sure], atol=1e-4)


def test_by_default_all_images_get_views(tmp_path):
    run = thirtytwo.train("digits-cnn", views="flip", out=tmp_path, **SMALL)
    plain, averaged = run.run.predictions("test")
    assert not (plain.logits == averaged.logits).all(1).any()


@pytest.mark.parametrize("share", [0, -0.5, 1.5, float("nan")])
def test_a_share_that_is_none_is_one_line(share):
    with pytest.raises(UserError, match=r"evaluate\.views_share"):
        thirtytwo.train("digits-cnn", views_share=share)
