"""Runs made from weights that were trained elsewhere: scored, and ready to predict and to report."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from thirtytwo.data.imageset import ImageSet
from thirtytwo.device import Device
from thirtytwo.errors import UserError
from thirtytwo.models.adapt import without_weights
from thirtytwo.models.classifier import Classifier, build_network
from thirtytwo.models.network import Network, Normalisation
from thirtytwo.models.weights import file as weights
from thirtytwo.models.weights.fit import fitted
from thirtytwo.recipe import Recipe, from_stored
from thirtytwo.records import Card
from thirtytwo.runs import checkpoint
from thirtytwo.runs.card import describe, require_fit
from thirtytwo.runs.lineage import write_origins
from thirtytwo.runs.loading import check, load_classifier, load_splits, place
from thirtytwo.runs.run import Run
from thirtytwo.runs.score import score
from thirtytwo.spec import Spec
from thirtytwo.words import plural

log = logging.getLogger("thirtytwo")

Channels = Sequence[float]
"""One number per channel, or one for all."""


def import_weights(
    file: Path,
    recipe: Recipe,
    *,
    key: str | None = None,
    mean: Channels = (),
    std: Channels = (),
    out: Path,
    device: str = "auto",
    test: bool = False,
    imports: Sequence[Path] = (),
) -> Run:
    """Make a run from a state dict, in a file of any format that `formats` has; no code in it is run.

    Args:
        file: the state dict of the network alone.
        recipe: says which network and which data the weights are for.
        key: which of the file's state dicts is taken, if there are several: its path, such as ``ema.state_dict``, or
            what its tensors' names begin with.
        mean: the mean of each channel, in 0..1, that the network was trained with; three for a network that saw RGB.
            Without it the normalisation is taken from ``<file>.json``; without such a file, from the run that the
            recipe's model names, or, with a warning, from the training images.
        std: the standard deviations, likewise.
        out: where the run folder is made.
        device: where it is scored.
        test: whether to score the test split too; val is always scored.
        imports: the user's files that registered components.

    Pretrained weights that the recipe's model starts from are neither needed nor looked for. Raises UserError, and
    leaves nothing, when the file cannot be read, holds more than weights, does not fit, or nothing tells its
    normalisation.
    """
    stored = weights.read(file, key)
    card, tensors = stored.card, stored.tensors
    asked = Spec.parse(recipe.model)
    model = without_weights(asked)
    pretrained = asked.foreign and bool(asked.kwargs.get("pretrained") or asked.kwargs.get("weights"))
    if pretrained and asked.kwargs.get("input") == "weights":
        raise UserError(
            f"model '{asked}': the weights come from {file}: name the size that they were trained at, input=NUMBER"
        )
    check(recipe.override({"train.teacher": "none", "model": str(model)}))  # nothing is trained here
    chosen = Device.choose(device, recipe.train.precision)
    splits = load_splits(recipe)
    train = splits.train
    if card:
        require_fit(card, train, f"{weights.beside(file)}: the weights were trained")
    channels = card["channels"] if card else 3 if asked.prefix and len(mean) == 3 else train.channels
    if bool(mean) != bool(std):
        raise UserError(f"{file}: --mean and --std belong together: give both")
    given = (_channels("--mean", mean, channels), _channels("--std", std, channels)) if mean else None
    network = build_network(str(model), channels=channels, classes=len(train.classes), size=train.size)
    network.module.load_state_dict(fitted(tensors, network.module, recipe.model, file))
    normalisation = given or _normalisation(card, network, train, file, asked.name if pretrained else None)
    classifier = Classifier(network, *normalisation).to(memory_format=torch.channels_last)
    run = Run.create(out, recipe)
    with run.owned():
        found = {**place(recipe.data.source), "imported": str(file.resolve()), "sha256": stored.sha256}
        found |= {"taken": stored.taken} if stored.taken else {}
        write_origins(run, splits.record, chosen.describe(), imports, **found)
        run.write_model(checkpoint.pack(classifier.state_dict()), describe(classifier, recipe, train))
        stored_model = load_classifier(run, chosen)
        for split in ("val", "test") if test else ("val",):
            score(run, stored_model, getattr(splits, split), chosen, split, by="import")
        run.set_status("finished")
    return run


def recipe_beside(file: Path) -> Recipe:
    """The recipe in the card beside a file; it needs no other weights. Raises UserError without a card."""
    card = weights.card_beside(file)
    if card is None or "recipe" not in card:
        if not file.is_file():
            raise UserError(f"{file}: no such file")
        raise UserError(
            f"{file}: nothing beside it says what it is for: name the recipe whose model and data it belongs to, "
            f"`thirtytwo import {file} RECIPE`"
        )
    try:
        return from_stored(card["recipe"]).override({"model": card["model"]})
    except UserError as error:
        raise UserError(f"{weights.beside(file)}: {error}") from None


def _normalisation(
    card: Card | None, network: Network, train: ImageSet, file: Path, pretrained: str | None
) -> Normalisation:
    """The normalisation where the user gives none: the card's, the network's, or that of ``train``.

    Raises UserError where it is that of the pretrained weights of the network called ``pretrained``.
    """
    if card:
        return torch.tensor(card["mean"]), torch.tensor(card["std"])
    if network.normalisation:
        return network.normalisation
    if pretrained:
        raise UserError(
            f"{file}: no card beside it gives its normalisation, which with {pretrained} is that of the pretrained "
            "weights: give --mean and --std, most often --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
        )
    log.warning("%s: normalised by the training images' own mean and std: give --mean and --std if they differ", file)
    return train.statistics()


def _channels(option: str, numbers: Channels, channels: int) -> Tensor:
    """float32 (C,). Raises UserError for another count, for what is not finite, and for a standard deviation of 0."""
    found = torch.tensor(numbers, dtype=torch.float32)
    if len(found) not in (1, channels):
        raise UserError(
            f"{option}: {plural(len(found), 'number')} for images of {plural(channels, 'channel')}: "
            "give one per channel"
        )
    if not bool(found.isfinite().all()) or (option == "--std" and not bool((found > 0).all())):
        raise UserError(f"{option}: must be finite{', and above 0' if option == '--std' else ''}")
    return found.expand(channels).clone()
