"""Mixtures: images and targets are mixed in the same, exact proportion."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest
from torch import Tensor

from augment_batches import batch_of, digits, photographs, seeded
from thirtytwo.augment import Batch, augmentations
from thirtytwo.augment.boxes import boxes_of_share
from thirtytwo.augment.draws import Draws
from thirtytwo.augment.mix import blend_batch, paste_batch

IMAGES = {"digits": digits(), "photographs": photographs(), "wide": photographs(24, 40)}
every_image_size = pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES.keys())


@every_image_size
def test_blending_is_a_weighted_sum_image_by_image(images: Tensor) -> None:
    batch, draw = batch_of(images), Draws(seeded(), len(images), images.device)
    partner, own = draw.partners(), draw.uniform(0, 1)
    result = blend_batch(batch, partner, own)
    for i, (j, share) in enumerate(zip(partner.tolist(), own.tolist(), strict=True)):
        torch.testing.assert_close(result.images[i], share * images[i] + (1 - share) * images[j])
        torch.testing.assert_close(result.targets[i], share * batch.targets[i] + (1 - share) * batch.targets[j])


@every_image_size
def test_pasting_mixes_targets_by_the_pixels_that_were_pasted(images: Tensor) -> None:
    batch, draw = batch_of(images), Draws(seeded(), len(images), images.device)
    partner, boxes = draw.partners(), boxes_of_share(draw, *images.shape[2:], (0.02, 1.0), (0.3, 3.0))
    result = paste_batch(batch, partner, boxes)
    for i, j in enumerate(partner.tolist()):
        top, left = int(boxes.top[i]), int(boxes.left[i])
        rows, columns = slice(top, top + int(boxes.height[i])), slice(left, left + int(boxes.width[i]))
        expected = images[i].clone()
        expected[:, rows, columns] = images[j, :, rows, columns]
        assert torch.equal(result.images[i], expected)
        pasted = torch.zeros(images.shape[2:])
        pasted[rows, columns] = 1
        share = pasted.mean()
        torch.testing.assert_close(result.targets[i], share * batch.targets[j] + (1 - share) * batch.targets[i])


@given(alpha=st.sampled_from([0.05, 0.2, 1.0, 5.0]), p=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_cutmix_targets_are_the_exact_share_of_the_area(alpha: float, p: float, seed: int) -> None:
    # Image i is the constant i / 100, so that each pixel says where it came from.
    images = (torch.arange(40) / 100)[:, None, None, None].expand(40, 1, 9, 13)
    batch = Batch(images, torch.eye(40), torch.arange(40))
    result = augmentations.get("cutmix")(alpha, p)(batch, seeded(seed))
    origin = (result.images * 100).round().long().flatten(1)
    share = torch.nn.functional.one_hot(origin, 40).float().mean(1)
    torch.testing.assert_close(result.targets, share)


def test_mixup_images_and_targets_agree() -> None:
    # One-hot images: what is left of each image can be read off the picture itself.
    images = torch.eye(36).view(36, 1, 6, 6)
    result = augmentations.build("mixup(0.5)")(Batch(images, torch.eye(36), torch.arange(36)), seeded())
    torch.testing.assert_close(result.images.flatten(1), result.targets)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 4.0, 300.0])
def test_proportions_follow_the_beta_distribution(alpha: float) -> None:
    drawn = Draws(seeded(), 20_000, torch.device("cpu")).beta(alpha).double().numpy()
    # In single precision a proportion within 6e-8 of 1 is 1; at alpha = 0.01 that is true of four in ten.
    inside = drawn[(drawn > 1e-6) & (drawn < 1 - 1e-6)]
    law = beta(alpha, alpha)
    low, high = law.cdf(1e-6), law.cdf(1 - 1e-6)
    assert kstest(inside, lambda x: (law.cdf(x) - low) / (high - low)).pvalue > 0.001
    assert abs(len(inside) / len(drawn) - (high - low)) < 5 * 0.5 / len(drawn) ** 0.5
    assert abs(drawn.mean() - 0.5) < 5 * law.std() / len(drawn) ** 0.5


def test_the_share_p_is_mixed() -> None:
    batch = batch_of(photographs().repeat(16, 1, 1, 1))
    for text in ("mixup(1, p=0.25)", "cutmix(1, p=0.25)"):
        result = augmentations.build(text)(batch, seeded())
        mixed = (result.images != batch.images).flatten(1).any(1).float().mean().item()
        # 1024 coins: four standard deviations are 0.054; a box can be empty and a partner oneself.
        assert 0.25 - 0.075 < mixed < 0.25 + 0.054
