"""Every classification network of torchvision: ``torchvision/resnet18(pretrained=true)``."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.models import models, pretrained
from thirtytwo.models.adapt import adaptable
from thirtytwo.models.network import Network
from thirtytwo.models.weights.fit import named

SETTINGS: dict[str, dict[str, Any]] = {
    # Without auxiliary classifiers, which would make the output a tuple. The weights expect rescaled input.
    "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": True},
    "inception_v3": {"aux_logits": False, "transform_input": True, "init_weights": True},
}
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""How the published DenseNets spell ``norm1``."""


@models.register_family("torchvision/")
class TorchvisionFamily:
    """All networks of torchvision, which is imported only when one of them is requested."""

    def names(self) -> list[str]:
        """The networks for classifying pictures, without those for detection, segmentation and video."""
        from torchvision import models as theirs

        return list(theirs.list_models(module=theirs))

    def get(self, name: str) -> Callable[..., Network]:
        """The factory of one network. Raises KeyError for a name that torchvision does not know."""
        if name not in self.names():
            raise KeyError(name)
        from torchvision.models import get_model_weights

        published = get_model_weights(name)
        return _factory(name, published)


def _factory(name: str, published: Any) -> Callable[..., Network]:
    def build(classes: int, size: tuple[int, int], pretrained: bool, weights: str) -> Network:
        built = _build(name, classes, size)
        return _loaded(name, built, published, weights) if pretrained or weights else Network(built)

    def trained_at(weights: str) -> int:
        return int(_entry(name, published, weights).transforms().crop_size[0])

    network = adaptable(f"torchvision/{name}", build, trained_at)
    network.__doc__ = f"torchvision's, with weights {', '.join(each.name for each in published)}"
    return network


def _build(name: str, classes: int, size: tuple[int, int]) -> nn.Module:
    """The network with random weights. Transformers are built for ``size``; for the others it does not matter."""
    from torchvision.models import MNASNet, get_model

    settings = dict(SETTINGS.get(name, {}))
    if name.startswith("vit_"):
        settings["image_size"] = size[0]
    elif name.startswith("maxvit"):
        settings["input_size"] = size
    network: nn.Module = get_model(name, weights=None, num_classes=classes, **settings)
    if isinstance(network, MNASNet):
        # It refuses state dicts without a version, which only those from torch.save keep.
        network._load_from_state_dict = partial(nn.Module._load_from_state_dict, network)
    return network


def _loaded(name: str, module: nn.Module, published: Any, wanted: str) -> Network:
    """The network with weights: a file's, those called ``wanted``, or the best that torchvision has."""
    spec, entry = f"torchvision/{name}", _entry(name, published, wanted)
    file = Path(wanted) if pretrained.is_file(wanted) else pretrained.from_torchs_cache(spec, entry.url)
    found = pretrained.read(file)
    said = pretrained.hash_in_name(file)
    if said and file.name in {each.url.rpartition("/")[2] for each in published}:
        remedy = "fetch it again, or give it another name"
        pretrained.require_hash(file, found.origin.weights_sha256, said, remedy)
    transforms = entry.transforms()
    given = found.normalisation or pretrained.normalisation(transforms.mean, transforms.std)
    network = Network(module, normalisation=given, origin=found.origin)
    pretrained.put(_named(name, named(found.tensors, module, file), module), network, spec, file)
    return network


def _entry(name: str, published: Any, wanted: str) -> Any:
    """The description that torchvision has of the weights called ``wanted``; for a file or no name, of its best."""
    if not wanted or pretrained.is_file(wanted):
        return published.DEFAULT
    if wanted not in published.__members__:
        raise UserError(f"torchvision/{name}: no weights '{wanted}'{did_you_mean(wanted, published.__members__)}")
    return published[wanted]


def _named(name: str, tensors: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Published tensors under this version's names, without auxiliary classifiers, positions resized to fit."""
    if name.startswith("densenet"):
        tensors = {DENSENET.sub(r"\1\2", key): tensor for key, tensor in tensors.items()}
    tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith(AUXILIARY)}
    if name.startswith("vit_") and "encoder.pos_embedding" in tensors:
        from torchvision.models.vision_transformer import interpolate_embeddings

        side, patch = network.image_size, network.patch_size
        return dict(interpolate_embeddings(side, patch, tensors))
    return tensors
