"""A run's network as a file for other programs, checked against the model that it came from."""

import json
from pathlib import Path

import torch
from torch import Tensor

from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.evaluation.predict import logits
from thirtytwo.files import sha256, write_atomic
from thirtytwo.models.classifier import Classifier
from thirtytwo.models.weights.file import beside, pack, unpacked
from thirtytwo.records import Card
from thirtytwo.rng import generator
from thirtytwo.runs.card import classifier_for, ready
from thirtytwo.runs.loading import load_classifier, own_components
from thirtytwo.runs.run import Run

CHECKED_ON = 64
"""Images of random pixels on which an exported network must give the run's logits."""


def export(run: Run, file: Path) -> Card:
    """Write the state dict of a run's network in the format of the suffix, and ``<file>.json`` beside it.

    The network takes normalised images; the JSON file says how: mean and std of each channel in 0..1, size, channels,
    classes in label order, and the recipe; its contents are returned. The file is read back, and must give the same
    logits (float32, on the CPU) as the run's model, bit for bit.

    Raises UserError, and leaves no file, when the run is not trained to its end, no format has that suffix, a file
    exists already, or the weights read back differ from those written.
    """
    for path in (file, beside(file)):
        if path.exists():
            raise UserError(f"{path}: exists already: name another file, `thirtytwo export {run.path} FILE`")
    trained = run.require_trained()
    if "neighbours" in trained:
        raise UserError(
            f"{run.path}: its head is nearest neighbours, which plain PyTorch lacks: export a run with solver=lbfgs"
        )
    device = Device.choose("cpu", "float32")
    model = load_classifier(run, device)
    data = pack(model.network.state_dict(), file)
    recipe = run.recipe.model_dump(mode="json", exclude_none=True)
    card: Card = {**trained, "sha256": sha256(data), "recipe": recipe}
    write_atomic(file, data)
    try:
        with own_components(run):
            again = classifier_for(card)
        try:
            tensors = unpacked(file.read_bytes(), file)
        except UserError as error:
            raise UserError(f"{file}: its format cannot read back what it wrote ({error})") from error
        if not _same(model, again, tensors, card, device):
            raise UserError(
                f"{file}: the weights read back differ from those written: try another disk, or another format"
            )
        write_atomic(beside(file), (json.dumps(card, indent=1) + "\n").encode())
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return card


def _same(model: Classifier, again: Classifier, tensors: dict[str, Tensor], card: Card, device: Device) -> bool:
    """Whether ``again``, once it has loaded ``tensors``, gives the same logits as ``model``, bit for bit."""
    try:
        again.network.load_state_dict(tensors)
    except RuntimeError:  # other names or shapes
        return False
    shape = (CHECKED_ON, card["channels"], *card["size"])
    pixels = torch.randint(256, shape, generator=generator(0, "export"), dtype=torch.uint8)
    mine, theirs = (logits(each, pixels, device) for each in (model, ready(again, device)))
    return torch.equal(mine, theirs)
