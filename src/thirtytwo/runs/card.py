"""The card of a run's model, which says how to use its weights: written for a model, and turned into a model again."""

from math import sqrt

import numpy as np
import torch
from torch import nn

from thirtytwo.data.imageset import ImageSet
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.models.classifier import Classifier, build_network
from thirtytwo.models.neighbours import Neighbours, put_head
from thirtytwo.recipe import Recipe
from thirtytwo.records import CardBody, NeighboursRecord
from thirtytwo.words import plural

LISTED = 10
"""Number of classes that a message names."""
SAMPLED = 4096
"""Training images whose brightness the card describes: the first ones, which are in random order."""
FAR = 0.1
"""Pictures whose mean differs by less, of a full range of 1, are never called unlike those of the training."""


def describe(model: Classifier, recipe: Recipe, images: ImageSet) -> CardBody:
    """The card of a model that was made for images like these: how to use its weights."""
    card: CardBody = {
        "model": model.described.architecture or recipe.model,
        "channels": 1 if len(model.mean) == 1 else 3,
        "size": images.size,
        "classes": list(images.classes),
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
        "fit": recipe.data.fit,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    means = images.images[:SAMPLED].numpy().mean((2, 3)) / 255
    # Not the normalisation above, which in a pretrained network is that of other pictures.
    card["pictures"] = {"mean": means.mean(0).tolist(), "spread": means.std(0).tolist()}
    if recipe.train.freeze != "none":
        card["freeze"], card["frozen"] = recipe.train.freeze, _frozen(model)
    if kept := _neighbours(model.network):
        card["neighbours"] = kept
    return card


def classifier_for(card: CardBody) -> Classifier:
    """The model that a card describes, with untrained weights."""
    network = build_network(card["model"], channels=card["channels"], classes=len(card["classes"]), size=card["size"])
    if kept := card.get("neighbours"):
        try:
            layer = Neighbours(kept["k"], kept["images"], kept["features"], len(card["classes"]))
            put_head(network.module, kept["head"], layer)
        except (AttributeError, RuntimeError):
            raise UserError(f"model.json: its neighbours do not fit {card['model']}: restore it") from None
    return Classifier(network, torch.tensor(card["mean"]), torch.tensor(card["std"]))


def require_fit(card: CardBody, images: ImageSet, what: str) -> None:
    """Raise UserError when the card's model was made for images of other classes, channels or size than these.

    ``what`` begins the message: "train.teacher=run:runs/digits-cnn-1: was trained".
    """
    classes = list(images.classes)
    if card["classes"] != classes:
        raise UserError(
            f"{what} for {_listed(card['classes'])}, the data has {_listed(classes)}: they must be the same classes in "
            "the same order"
        )
    if card["channels"] < images.channels:  # the other way round, grey images become RGB
        raise UserError(f"{what} on grey images, but these are RGB: set data.channels=1")
    (height, width), (h, w) = card["size"], images.size
    if (height, width) != (h, w):
        raise UserError(
            f"{what} on images of {height} x {width} pixels, the data has {h} x {w}: set data.size={max(height, width)}"
        )


def unlike_training(card: CardBody, means: np.ndarray, *, inverted: bool) -> str | None:
    """A sentence, if pictures are much darker or lighter than the training's. ``means`` is float (N, C) in 0..1.

    The median picture must be 1.5 standard deviations off for many pictures, which may all be of one class, and 5.5 for
    one: the suite holds it silent for draws of 1 to 500 pictures of one class or of all, from the digits and CIFAR-10,
    and speaking for all draws of inverted digits. ``inverted`` says whether they were inverted already.
    """
    known = card.get("pictures")
    if known is None or not len(means):
        return None
    usual, found = np.array(known["mean"]), np.median(means, axis=0)
    off = np.abs(found - usual)
    if not ((off > FAR) & (off > (1.5 + 4 / sqrt(len(means))) * np.array(known["spread"]))).any():
        return None
    told = f"the pictures' mean is {found.mean():.2f} of full brightness, that of the training {usual.mean():.2f}"
    if abs(1 - found.mean() - usual.mean()) > abs(found.mean() - usual.mean()):
        return f"{told}: the network was not trained on such pictures, and its answers may be wrong"
    if inverted:
        return f"{told}: leave --invert (invert=True) out"
    return f"{told}: if dark and light are swapped, --invert (invert=True in Python) swaps them back"


def ready(model: Classifier, device: Device) -> Classifier:
    """``model`` as it is always scored: on its device, channels last, in evaluation mode."""
    return model.to(device.torch).to(memory_format=torch.channels_last).eval()


def _listed(classes: list[str]) -> str:
    names = ", ".join(classes[:LISTED]) + (", ..." if len(classes) > LISTED else "")
    return f"{plural(len(classes), 'class')} ({names})"


def _neighbours(network: nn.Module) -> NeighboursRecord | None:
    for name, layer in network.named_modules():
        if isinstance(layer, Neighbours):
            images, features = layer.known.shape
            return {"head": name, "k": layer.k, "images": images, "features": features}
    return None


def _frozen(model: Classifier) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
