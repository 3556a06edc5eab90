"""Look into a network: the filters of its first convolution, and each layer's maps for a picture."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from thirtytwo.data.imageset import to_float
from thirtytwo.explain import explanations
from thirtytwo.explain.explanation import Layer, LayerMaps
from thirtytwo.models.classifier import Classifier, evaluating

LAYERS, MAPS = 12, 12
"""At most this many layers, evenly spaced, and this many feature maps of each: what fits in a legible figure."""


@explanations.register_as("layers")
def explain(classifier: Classifier, picture: Tensor) -> LayerMaps:
    """The filters of the first convolution, and the feature maps of a picture, uint8 (C, H, W), layer by layer."""
    return LayerMaps(picture.numpy(), first_filters(classifier), layer_maps(classifier, picture))


def first_filters(classifier: Classifier) -> np.ndarray:
    """The weights of the network's first convolution, float32 (C_out, C_in, h, w); (0, 0, 0, 0) where there is none."""
    for module in classifier.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach().float().cpu().numpy()
    return np.zeros((0, 0, 0, 0), np.float32)


@torch.inference_mode()
def layer_maps(classifier: Classifier, picture: Tensor) -> tuple[Layer, ...]:
    """The layers' feature maps for a picture, uint8 (C, H, W), in float32.

    A layer is a convolution or a pool with the norm, activation and dropout that directly follow it, and its maps are
    the output of the last of them. Maps of one pixel are left out. Of more than `LAYERS` layers the first, the last and
    evenly spaced ones between them are shown; of each, the `MAPS` channels that vary most over the picture.
    Modes and hooks stay as they were.
    """
    blocks: list[_Block] = []
    names = {module: name for name, module in classifier.network.named_modules() if _is_layer(module)}

    def note(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return
        kind = type(module).__name__.lstrip("_")
        if isinstance(module, nn.Conv2d) or "Pool" in kind:
            blocks.append(_Block(names[module]))
        elif not blocks or not inputs or inputs[0] is not blocks[-1].output:
            return
        blocks[-1].add(kind, output)

    hooks = [module.register_forward_hook(note) for module in names]
    try:
        with evaluating(classifier):
            classifier(to_float(picture[None], classifier.mean.device))
    finally:
        for hook in hooks:
            hook.remove()
    found = [block.layer() for block in blocks if block.maps[0].numel() > 1]
    chosen = np.unique(np.linspace(0, len(found) - 1, min(LAYERS, len(found))).round().astype(int))
    return tuple(found[i] for i in chosen)


@dataclass(eq=False)
class _Block:
    """A convolution or pool, and the modules that have followed it so far."""

    name: str
    types: list[str] = field(default_factory=list)

    def add(self, kind: str, output: Tensor) -> None:
        self.types.append(kind)
        self.output = output
        # A copy: the next module may change the output in place.
        self.maps = output[0].to("cpu", torch.float32, copy=True)

    def layer(self) -> Layer:
        maps = self.maps.numpy()
        channels = np.sort(np.argsort(-maps.var(axis=(1, 2)), kind="stable")[:MAPS])
        count, height, width = maps.shape
        return Layer(self.name, ", ".join(self.types), (count, height, width), channels, maps[channels])


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) or not (any(module.children()) or isinstance(module, nn.Identity))
