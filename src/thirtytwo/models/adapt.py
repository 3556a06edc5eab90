"""Networks made for pictures of 224 pixels, adapted to small images; their weights stay as they are."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from thirtytwo.errors import UserError
from thirtytwo.models.classifier import build_network, evaluating
from thirtytwo.models.network import Network
from thirtytwo.models.stages import heads
from thirtytwo.spec import Spec

Side = Annotated[int, Field(ge=8, le=1024)]
Stem = Literal["original", "small"]
LastPool = Literal["original", "identity"]
LastRelu = Literal["original", "identity"]

MOMENTUM = 0.1
"""PyTorch's default for batch norm's running statistics."""


@dataclass(frozen=True)
class Prepare:
    """What a network does to images before its first layer: grey becomes RGB, any size becomes ``side``.

    A forward pre-hook, not a layer around the network: the names of the weights stay those that plain PyTorch expects.
    """

    side: int | None

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Normalised images (B, 1 or 3, H, W) -> (B, 3, side, side), bilinear with antialiasing, on their device."""
        images = inputs[0].expand(-1, 3, -1, -1)
        if self.side is not None:
            images = interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        return (images,)


@dataclass(frozen=True)
class Adaptation:
    """What is changed in a network for small images.

    Attributes:
        input: side in pixels that images are resized to inside the network; None takes them as they are.
        stem: "small" gives the first convolution stride 1 and leaves out a pool between it and the next convolution.
        last_pool: "identity" leaves out the last max-pool.
        last_relu: "identity" leaves out a ReLU after the head.
    """

    input: int | None = None
    stem: Stem = "original"
    last_pool: LastPool = "original"
    last_relu: LastRelu = "original"


def adaptable(
    name: str,
    build: Callable[[int, tuple[int, int], bool, str], Network],
    trained_at: Callable[[str], int],
) -> Callable[..., Network]:
    """The factory of another package's network, with the arguments that all of them take.

    Args:
        name: the model's, without arguments.
        build: called with classes, the images' size inside the network, ``pretrained`` and ``weights``; returns a
            network that takes normalised RGB images.
        trained_at: the side in pixels of the images that ``weights`` were trained on, for ``input='weights'``.
    """

    def network(
        classes: int,
        size: tuple[int, int],
        *,
        pretrained: bool = False,
        weights: str = "",
        input: Side | Literal["weights"] | None = None,
        stem: Stem = "original",
        last_pool: LastPool = "original",
        last_relu: LastRelu = "original",
    ) -> Network:
        side = trained_at(weights) if input == "weights" else input
        seen = (side, side) if side else size
        built = build(classes, seen, pretrained, weights)
        adapted = adapt(built, name, Adaptation(side, stem, last_pool, last_relu))
        asked = {"stem='small'": stem == "small", "last_pool='identity'": last_pool == "identity"}
        if options := [option for option, is_asked in asked.items() if is_asked]:
            try:
                _try_out(adapted, seen)
            except (RuntimeError, ValueError, AssertionError) as error:
                _try_out(build(classes, seen, False, ""), seen)  # raises if the options are not to blame
                reason = str(error).partition("\n")[0].rstrip(". ")
                raise UserError(
                    f"{name}: its layers do not fit each other with {' and '.join(options)} on images of {seen[0]} x "
                    f"{seen[1]} pixels ({reason}): leave {'it' if len(options) == 1 else 'them'} out"
                    f"{'' if side else ', and try input=96'}"
                ) from None
        return adapted

    return network


def adapt(network: Network, name: str, change: Adaptation) -> Network:
    """Adapt a network of another package in place, and record its new architecture.

    Args:
        network: takes normalised RGB images.
        name: the model's, without arguments.
        change: what to change in it.

    Raises UserError if the network has no such layer.
    """
    if change.stem == "small":
        _small_stem(network.module, name)
    if change.last_pool == "identity":
        _without_last_pool(network.module, name)
    if change.last_relu == "identity":
        _without_last_relu(network, name)
    network.module.register_forward_pre_hook(Prepare(change.input))
    kwargs = {key: value for key, value in vars(change).items() if value != getattr(Adaptation, key)}
    return replace(network, architecture=str(Spec(name, kwargs=kwargs)))


def without_weights(spec: Spec) -> Spec:
    """The same network of another package with random weights; any other model as it is."""
    if not spec.foreign:
        return spec
    return replace(
        spec, kwargs={key: each for key, each in spec.kwargs.items() if key not in ("pretrained", "weights")}
    )


def starved(network: Network, channels: int, size: tuple[int, int]) -> list[str]:
    """Names of the layers that see maps of one pixel and were made for larger ones.

    Those are convolutions with kernels larger than 1, of which only the centre has any effect, and pools that repeat
    that pixel many times for the layers after them (VGG's).
    """
    found: list[str] = []
    names = {module: name for name, module in network.module.named_modules() if _wants_more_than_a_pixel(module)}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].shape[-2:] == (1, 1):
            found.append(names[module])

    hooks = [module.register_forward_pre_hook(note) for module in names]
    device = next((parameter.device for parameter in network.module.parameters()), torch.device("cpu"))
    try:
        with evaluating(network.module), torch.no_grad():
            network.module(torch.zeros(1, network.channels(channels), *size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return list(dict.fromkeys(found))


def starvation(spec: str, network: Network, channels: int, size: tuple[int, int]) -> str | None:
    """The warning about a network whose maps shrink to one pixel too early, with the remedy; None if all is well."""
    names = starved(network, channels, size)
    if not names:
        return None
    cures = _cures(Spec.parse(network.architecture or spec), channels, size)
    if not cures:
        remedy = "set a larger data.size"
    elif Spec.parse(spec).run is not None:
        remedy = f"train its run with {' or '.join(cures)}"
    else:
        remedy = f"try {' or '.join(cures)}"
    return (
        f"model '{spec}': {len(names)} of its layers, {names[0]} the first, see maps of 1 x 1 pixels, too small for "
        f"what they do: {remedy}"
    )


def _cures(spec: Spec, channels: int, size: tuple[int, int]) -> list[str]:
    """The options that leave no layer starved, each tried on a network of its own."""
    plain = without_weights(spec)

    def cures(key: str, value: int | str) -> bool:
        with suppress(Exception), torch.random.fork_rng(devices=[]):  # an option that fails is not a cure
            tried = build_network(str(replace(plain, kwargs={**plain.kwargs, key: value})), channels, 2, size)
            return not starved(tried, channels, size)
        return False

    options = (("input", 96), ("stem", "small"), ("last_pool", "identity"))
    costly = (("input", 224),)
    found = [option for option in options if cures(*option)] or [option for option in costly if cures(*option)]
    return [f"{key}={value!r}" for key, value in found]


def _wants_more_than_a_pixel(module: nn.Module) -> bool:
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return module.output_size not in (1, (1, 1), None)
    return isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1


def _try_out(network: Network, size: tuple[int, int]) -> None:
    """Show the network a black image of ``size``."""
    with evaluating(network.module), torch.no_grad():
        network.module(torch.zeros(1, 3, *size))


def forget_faster(network: nn.Module) -> None:
    """Give batch norm PyTorch's own momentum if a network of another package has a smaller one: for random weights.

    MobileNetV3's 0.01 and MNASNet's 0.0003 are for hundreds of thousands of steps. After a few hundred their variances
    are still near their initial value of 1, far above those of deep maps: MobileNetV3-small classified 33 % of training
    images correctly and 10 % of val (468 steps on 5,000 images).
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None:
            module.momentum = max(module.momentum, MOMENTUM)


def _small_stem(network: nn.Module, name: str) -> None:
    modules = list(network.named_modules())
    convolutions = [i for i, (_, module) in enumerate(modules) if isinstance(module, nn.Conv2d)]
    first = modules[convolutions[0]][1] if convolutions else None
    if not isinstance(first, nn.Conv2d) or max(first.stride) == 1:
        what = "has stride 1 already" if convolutions else "does not exist"
        raise UserError(f"{name}: its first convolution {what}, so that stem='small' has no effect: leave it out")
    first.stride = (1, 1)
    for place, module in modules[convolutions[0] : [*convolutions, len(modules)][1]]:
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            _replace(network, place)


def _without_last_pool(network: nn.Module, name: str) -> None:
    pools = [
        place
        for place, module in network.named_modules()
        if isinstance(module, nn.MaxPool2d) and module.stride not in (1, (1, 1))  # as in Inception's branches
    ]
    if not pools:
        raise UserError(f"{name}: has no max-pool for last_pool='identity' to leave out: drop that argument")
    _replace(network, pools[-1])


def _without_last_relu(network: Network, name: str) -> None:
    places = [place for place, _ in network.module.named_modules()]
    after = places[places.index(heads(network)[0]) + 1 :]
    found = [place for place in after if isinstance(network.module.get_submodule(place), nn.ReLU)]
    if not found:
        raise UserError(f"{name}: has no ReLU after its head for last_relu='identity' to leave out: drop that argument")
    _replace(network.module, found[-1])


def _replace(network: nn.Module, place: str) -> None:
    parent, _, child = place.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
