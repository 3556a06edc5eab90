"""The built-in networks are the ones they are named after; the parts of the speedruns' network keep its mathematics."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thirtytwo.data.digits import digits
from thirtytwo.errors import UserError
from thirtytwo.models import models
from thirtytwo.models.classifier import Classifier, build_network
from thirtytwo.models.network import Network
from thirtytwo.models.speed import _LeanMaxPool, _PooledConv, whitening
from thirtytwo.models.summary import summarise
from thirtytwo.optim.averaging import ExponentialMovingAverage

KNOWN = [  # spec, channels, size, parameters at 10 classes, MFLOP or None
    ("cnn2", 1, (8, 8), 14_698, None),
    ("cnn2(pools=2)", 3, (32, 32), 30_634, None),
    ("lenet", 1, (28, 28), 44_426, None),
    ("lenet", 1, (32, 32), 61_706, None),
    ("lenet", 3, (32, 32), 62_006, None),
    ("vgg8", 3, (32, 32), 2_591_946, 344),
    ("cnn9", 3, (32, 32), 2_229_322, 308),
    ("resnet18", 3, (32, 32), 11_173_962, 1111),
    ("resnet34", 3, (32, 32), 21_282_122, None),
    ("resnet50", 3, (32, 32), 23_520_842, None),
    ("wideresnet(depth=16, width=4)", 3, (32, 32), 2_748_890, None),
    ("wideresnet", 3, (32, 32), 36_479_194, 10_487),
    ("speednet", 3, (32, 32), 1_971_640, 212),
    ("speednet(widths=(128, 384, 512), convs=3)", 3, (32, 32), 9_915_704, None),
]


@pytest.mark.parametrize(("spec", "channels", "size", "parameters", "mflop"), KNOWN)
def test_published_sizes(spec: str, channels: int, size: tuple[int, int], parameters: int, mflop: int | None) -> None:
    summary = summarise(build_network(spec, channels, 10, size), channels, size)
    assert summary.parameters == parameters
    if mflop is not None:
        assert round(summary.mflop) == mflop


def airbench94(eps: float = 1e-12) -> nn.Sequential:
    """The network of arXiv 2404.00498 as it is described, every convolution of a whole map."""

    def group(inputs: int, outputs: int) -> list[nn.Module]:
        first, second = (nn.Conv2d(n, outputs, 3, padding=1, bias=False) for n in (inputs, outputs))
        norms = [nn.BatchNorm2d(outputs, eps=eps, momentum=0.4) for _ in range(2)]
        return [first, nn.MaxPool2d(2), norms[0], nn.GELU(), second, norms[1], nn.GELU()]

    layers = [nn.Conv2d(3, 24, 2), nn.GELU(), *group(24, 64), *group(64, 256), *group(256, 256)]
    return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False))


def test_operations_are_counted_as_in_the_literature() -> None:
    assert round(summarise(Network(airbench94()), 3, (32, 32)).mflop) == 236


def test_the_speedruns_network_computes_what_airbench94_computes() -> None:
    torch.manual_seed(0)
    network = build_network("speednet", 3, 10, (32, 32)).module.double().train()
    reference = airbench94(eps=1e-5).double().train()
    scaled = {id(m.weight) for m in reference.modules() if isinstance(m, nn.BatchNorm2d)}
    ours = list(network.parameters())
    theirs = [p for p in reference.parameters() if id(p) not in scaled]
    with torch.no_grad():
        for a, b in zip(ours, theirs, strict=True):
            b.copy_(a)
    images = torch.randn(8, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(network(images), reference(images))
    network(images).square().sum().backward()
    (reference(images)).square().sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        if a.requires_grad:
            torch.testing.assert_close(a.grad, b.grad)


def test_the_whitening_is_frozen_and_its_bias_is_trained_for_three_epochs() -> None:
    network = Network.of(models.build("speednet", channels=3, classes=10))
    parameters = dict(network.module.named_parameters())
    frozen = [name for name, parameter in parameters.items() if not parameter.requires_grad]
    assert frozen == ["whiten.weight"]
    assert network.trained_epochs == {"whiten.bias": 3.0}
    assert set(network.trained_epochs) <= set(parameters)


def test_convolutions_start_as_the_identity_on_their_first_filters() -> None:
    network = Network.of(models.build("speednet", channels=3, classes=10)).module
    x = torch.randn(2, 64, 9, 9)
    torch.testing.assert_close(network.groups[1].conv1(x)[:, :64], x[..., :8, :8])
    torch.testing.assert_close(network.groups[0].conv2(x), x)


def test_the_logits_begin_small() -> None:
    network = Network.of(models.build("speednet", channels=3, classes=10)).module
    assert network.head.weight.std().item() == pytest.approx(1 / 256)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 6), (7, 7), (14, 15), (31, 31)])
def test_a_pooled_convolution_leaves_out_only_what_the_pool_drops(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = _PooledConv(4, 8).double()
    nn.init.normal_(conv.weight)
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    kernel = [min(2, n) for n in size]
    results = []
    for map_ in (conv(x), F.conv2d(x, conv.weight, padding=1)):
        pooled = F.max_pool2d(map_, kernel)
        results.append((pooled, *torch.autograd.grad(pooled.square().sum(), (x, conv.weight))))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
def test_the_lean_max_pool_is_the_max_pool(layout: torch.memory_format, dtype: torch.dtype, size: tuple) -> None:
    torch.manual_seed(0)
    x = torch.randint(0, 3, (3, 4, *size)).to(dtype).contiguous(memory_format=layout).requires_grad_()  # many ties
    lean, plain = _LeanMaxPool.apply(x, [2, 2]), F.max_pool2d(x, 2)
    grad = torch.randn_like(plain)
    assert torch.equal(lean, plain)
    (a,), (b,) = torch.autograd.grad(lean, x, grad), torch.autograd.grad(plain, x, grad)
    assert torch.equal(a, b)
    assert a.is_contiguous(memory_format=layout)


def photographs() -> Tensor:
    """scikit-learn's two photographs as normalised 32 x 32 pieces, (N, 3, 32, 32)."""
    from sklearn.datasets import load_sample_images

    pieces = []
    for photograph in load_sample_images().images:
        image = torch.tensor(photograph).permute(2, 0, 1).float()[:, :416, :640] / 255
        pieces.append(image.unfold(1, 32, 32).unfold(2, 32, 32).permute(1, 2, 0, 3, 4).reshape(-1, 3, 32, 32))
    images = torch.cat(pieces)
    mean, std = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True)
    return (images - mean) / std


def normalised_digits() -> Tensor:
    images = digits().train.images.float() / 255
    return (images - images.mean()) / images.std()


@pytest.mark.parametrize("read", [photographs, normalised_digits])
def test_whitened_patches_have_the_identity_as_covariance(read: Callable[[], Tensor]) -> None:
    images, eps = read(), 5e-4
    filters = whitening(images, eps=eps)
    inputs = filters[0].numel()
    assert filters.shape == (inputs, images.shape[1], 2, 2)
    patches = F.unfold(images.double(), 2).transpose(1, 2).reshape(-1, inputs)
    eigenvalues = torch.linalg.eigvalsh(patches.T.cov(correction=0)).flip(0)
    whitened = (patches @ filters.double().reshape(inputs, -1).T).T.cov(correction=0)
    torch.testing.assert_close(whitened, torch.diag(eigenvalues / (eigenvalues + eps)), atol=1e-4, rtol=0)
    strong = eigenvalues > 100 * eps
    assert strong.sum() >= inputs // 2
    assert (whitened.diag()[strong] - 1).abs().max() < 0.01


@pytest.mark.parametrize("black", [True, False])
def test_degenerate_patches_give_finite_filters(black: bool) -> None:
    network = Network.of(models.build("speednet", channels=3, classes=10))
    network.initialise(torch.zeros(6, 3, 8, 8) if black else normalised_digits()[:6].repeat(1, 3, 1, 1))
    weight = network.module.whiten.weight
    assert weight.isfinite().all() and weight.abs().max() <= 1 / 5e-4**0.5
    assert torch.equal(weight[:12], -weight[12:])


def test_grey_pictures_saved_as_rgb_train() -> None:
    torch.manual_seed(0)
    images = F.interpolate(normalised_digits()[:256], scale_factor=2).repeat(1, 3, 1, 1)
    labels = digits().train.labels[:256]
    built = build_network("speednet(widths=(32, 64, 64))", 3, 10, (16, 16))
    built.initialise(images)
    network = built.module
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.85, nesterov=True)
    for step in range(40):
        batch = torch.arange(step * 64, step * 64 + 64) % 256
        loss = F.cross_entropy(network.train()(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    with torch.no_grad():
        accuracy = (network.eval()(images).argmax(1) == labels).float().mean()
    assert accuracy > 0.8


def test_a_classifier_normalises_and_keeps_doing_so_after_a_round_trip() -> None:
    train = digits().train
    images = train.images[:64].float() / 255
    mean, std = train.statistics()
    model = Classifier(Network(nn.Identity()), mean, std)
    normalised = Classifier(Network(nn.Identity()), mean, std)(train.images.float() / 255)
    assert normalised.mean().item() == pytest.approx(0, abs=1e-4)
    assert normalised.std().item() == pytest.approx(1, abs=1e-4)
    other = Classifier(Network(nn.Identity()), torch.zeros(1), torch.ones(1))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(images), model(images))


def test_a_deep_copy_describes_its_own_module() -> None:
    """Averages copy the model: what the copy says of itself must not change the model that is trained."""
    network = build_network("speednet(widths=(8, 8, 8))", 1, 10, (8, 8))
    model = Classifier(network, torch.zeros(1), torch.ones(1))
    copy = deepcopy(model)
    assert model.described is network and model.network is network.module
    assert copy.described.module is copy.network is not model.network
    assert (
        copy.described.trained_epochs == {"whiten.bias": 3.0} and copy.state_dict().keys() == model.state_dict().keys()
    )
    assert all(name.startswith(("network.", "mean", "std")) for name in model.state_dict())
    before = model.network.whiten.weight.clone()
    copy.described.initialise(normalised_digits()[:50])
    assert torch.equal(model.network.whiten.weight, before) and not torch.equal(copy.network.whiten.weight, before)
    average = ExponentialMovingAverage(model).model
    assert average.described.module is average.network is not model.network


def test_a_channel_that_never_varies_stays_finite() -> None:
    model = Classifier(Network(nn.Identity()), torch.tensor([0.5, 0.0, 1.0]), torch.tensor([0.2, 0.0, 0.0]))
    assert model(torch.rand(2, 3, 8, 8)).isfinite().all()


@pytest.mark.parametrize(
    ("spec", "size", "words"),
    [
        ("lenet", (8, 8), ["model 'lenet'", "8 x 8", "data.size=32"]),
        ("lenet", (14, 40), ["model 'lenet'", "14 x 40", "data.size=32"]),
        ("cnn2", (1, 1), ["model 'cnn2'", "1 x 1", "data.size=32"]),
        ("wideresnet(depth=11)", (32, 32), ["depth=11", "6 n + 4", "10"]),
        ("speednet(widths=(64, 256))", (32, 32), ["widths"]),
        ("speednet(activation='tanh')", (32, 32), ["activation", "'gelu'"]),
        ("cnn2(width=0)", (32, 32), ["width", "greater"]),
        ("resnet19", (32, 32), ["resnet19", "did you mean 'resnet18'"]),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(spec: str, size: tuple[int, int], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        build_network(spec, 1, 10, size)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_model_with_the_wrong_number_of_outputs_is_refused() -> None:
    def eleven(channels: int, size: tuple[int, int]) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], 11))

    with models.temporary(), pytest.raises(UserError, match=r"'eleven'.*\(1, 11\).*\(1, 10\)"):
        models.register_as("eleven")(eleven)
        build_network("eleven", 1, 10, (8, 8))
