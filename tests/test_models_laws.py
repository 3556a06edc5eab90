"""What holds for every registered model, the built-in ones and those that are added to them."""

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from thirtytwo.data.digits import digits
from thirtytwo.models import models
from thirtytwo.models.classifier import build_network
from thirtytwo.models.network import Network
from thirtytwo.models.summary import summarise

SMALLER = {"wideresnet": "wideresnet(depth=16, width=2, dropout=0.1)"}
"""Where the default would take seconds an image."""
NETWORKS = [SMALLER.get(name, name) for name in models.names()] + [
    "cnn2(width=8)",
    "cnn2(pools=2)",
    "speednet(widths=(32, 64, 64), activation='silu', convs=3)",
    "speednet(widths=(32, 16, 24), activation='relu')",
]
SHAPES = [  # channels, classes, size
    (1, 10, (8, 8)),
    (3, 2, (8, 8)),
    (1, 2, (28, 28)),
    (3, 10, (32, 32)),
    (1, 10, (40, 24)),
]


def fits(spec: str, size: tuple[int, int]) -> bool:
    return min(size) >= {"lenet": 16, "vgg8": 16}.get(spec.partition("(")[0], 1)


@pytest.fixture(scope="module")
def real() -> tuple[Tensor, Tensor]:
    """256 digits, normalised, float (256, 1, 8, 8), and their labels."""
    train = digits().train
    images = train.images[:256].float() / 255
    return (images - images.mean()) / images.std(), train.labels[:256]


def pictures(real: tuple[Tensor, Tensor], channels: int, size: tuple[int, int], count: int) -> Tensor:
    """Digits at another size and number of channels."""
    resized = F.interpolate(real[0][:count], size=size, mode="bilinear", antialias=True)
    return resized.repeat(1, channels, 1, 1)


def built(spec: str, channels: int, classes: int, size: tuple[int, int]) -> Network:
    torch.manual_seed(0)
    return build_network(spec, channels, classes, size)


CASES = [(spec, *shape) for spec in NETWORKS for shape in SHAPES if fits(spec, shape[2])]


@pytest.mark.parametrize(("spec", "channels", "classes", "size"), CASES, ids=str)
def test_any_image_size_channels_and_classes(
    spec: str, channels: int, classes: int, size: tuple[int, int], real: tuple[Tensor, Tensor]
) -> None:
    whole = built(spec, channels, classes, size)
    images = pictures(real, channels, size, 4)
    if whole.initialise is not None:
        whole.initialise(images)
    network = whole.module
    logits = network.train()(images)
    assert logits.shape == (4, classes)
    F.cross_entropy(logits, torch.arange(4) % classes).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        else:
            assert parameter.grad is None, name

    other = build_network(spec, channels, classes, size).module
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        scored = network.eval()(images)
        assert torch.equal(scored, network(images))
        assert torch.equal(scored, other.eval()(images))


@pytest.mark.parametrize("spec", NETWORKS)
def test_one_seed_one_network(spec: str) -> None:
    first, second = (built(spec, 3, 10, (32, 32)).module for _ in range(2))
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    "spec",  # the deepest take 16 s each: test-all. resnet18 has the blocks of one, test_transfer trains a resnet50
    [pytest.param(spec, marks=pytest.mark.slow) if spec in {"resnet34", "resnet50"} else spec for spec in NETWORKS],
)
def test_learns_real_digits(spec: str, real: tuple[Tensor, Tensor]) -> None:
    size = (8, 8) if fits(spec, (8, 8)) else (16, 16)
    images, labels = pictures(real, 1, size, 256), real[1]
    whole = built(spec, 1, 10, size)
    if whole.initialise is not None:
        whole.initialise(images)
    network = whole.module.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for step in range(20):
        batch = torch.arange(step * 32, step * 32 + 32) % 256
        loss = F.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(later < first for first, later in zip(losses[:4], losses[-4:], strict=True))  # of the same batches


@pytest.mark.parametrize("spec", NETWORKS)
def test_a_summary_accounts_for_everything_and_changes_nothing(spec: str) -> None:
    whole = built(spec, 3, 10, (32, 32))
    network = whole.module.train()
    next(network.children()).eval()
    before = copy.deepcopy(network.state_dict())
    modes, random = [module.training for module in network.modules()], torch.get_rng_state()
    summary = summarise(whole, 3, (32, 32))
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert summary.parameters == sum(p.numel() for p in network.parameters()) == sum(r.parameters for r in summary.rows)
    assert summary.trainable == sum(r.trainable for r in summary.rows)
    assert summary.mflop == pytest.approx(sum(row.mflop for row in summary.rows))
    assert summary.rows[-1].output == (10,)


def test_every_model_says_what_it_is_in_its_first_line() -> None:
    for name in models.names():
        assert models.summary(name), name
