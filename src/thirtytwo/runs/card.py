"""The card of a run's model: what its weights need to be used, written, and made a model of again."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from thirtytwo.data.imageset import ImageSet
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.models.classifier import Classifier, build_network
from thirtytwo.models.neighbours import Neighbours, put_head
from thirtytwo.recipe import Recipe


def describe(model: Classifier, recipe: Recipe, images: ImageSet) -> dict[str, Any]:
    """The card of a model that was made for images like these: what its weights need to be used."""
    return {
        "model": model.described.architecture or recipe.model,
        "channels": len(model.mean),
        "size": list(images.size),
        "classes": list(images.classes),
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
        "fit": recipe.data.fit,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **({} if recipe.train.freeze == "none" else {"freeze": recipe.train.freeze, "frozen": _frozen(model)}),
        **_neighbours(model.network),
    }


def classifier_for(card: Mapping[str, Any]) -> Classifier:
    """The model that a card describes, with weights that have not learned anything."""
    network = build_network(
        card["model"], channels=card["channels"], classes=len(card["classes"]), size=tuple(card["size"])
    )
    if kept := card.get("neighbours"):
        try:
            layer = Neighbours(kept["k"], kept["images"], kept["features"], len(card["classes"]))
            put_head(network.module, kept["head"], layer)
        except (AttributeError, RuntimeError):
            raise UserError(f"model.json: its neighbours do not fit {card['model']}: restore it") from None
    return Classifier(network, torch.tensor(card["mean"]), torch.tensor(card["std"]))


def ready(model: Classifier, device: Device) -> Classifier:
    """``model`` as it is scored everywhere: on its device, channels last, in evaluation mode."""
    return model.to(device.torch).to(memory_format=torch.channels_last).eval()


def _neighbours(network: nn.Module) -> dict[str, Any]:
    for name, layer in network.named_modules():
        if isinstance(layer, Neighbours):
            size = {"images": len(layer.known), "features": layer.known.shape[1]}
            return {"neighbours": {"head": name, "k": layer.k, **size}}
    return {}


def _frozen(model: Classifier) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
