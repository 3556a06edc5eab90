"""Recipe -> components: the only place where the two meet."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thirtytwo import reuse  # noqa: F401  (makes models called run:PATH known)
from thirtytwo.augment import Chain
from thirtytwo.checkpoint import unpack
from thirtytwo.data.imageset import ImageSet
from thirtytwo.data.load import load
from thirtytwo.data.split import Splits, make_splits
from thirtytwo.device import Device
from thirtytwo.errors import UnknownName, UserError
from thirtytwo.features import FeatureFeed, Features, compute, is_linear
from thirtytwo.feed import Batches, Feed
from thirtytwo.models import models
from thirtytwo.models.adapt import forget_faster
from thirtytwo.models.classifier import Classifier, build_network
from thirtytwo.models.neighbours import Neighbours, put_head
from thirtytwo.models.stages import Freeze, distances, heads, plan
from thirtytwo.objective import Distillation, Labels, Objective
from thirtytwo.optim import averages, optimizers, schedules
from thirtytwo.optim.averaging import Average
from thirtytwo.optim.optimizer import Optimizer, parameter_groups
from thirtytwo.optim.schedule import Schedule
from thirtytwo.recipe import Recipe
from thirtytwo.rng import derive
from thirtytwo.run import Run

INITIALISE_ON = 5000
"""Images that a network with a data-dependent initialisation is shown."""
LISTED = 10
"""Classes that a message names."""


@dataclass(eq=False)
class Parts:
    """Everything that one training needs."""

    recipe: Recipe
    device: Device
    splits: Splits
    feed: Batches
    model: Classifier
    freeze: Freeze
    optimizer: Optimizer
    schedule: Schedule
    average: Average
    objective: Objective
    teacher: Run | None
    probed: str | None
    """The last layer's name in the network, where it alone is trained and all that it needs are its own inputs."""
    features: Features | None = None

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.feed.steps(self.recipe.train.epochs)

    @property
    def forward(self) -> Callable[[Tensor], Tensor]:
        """What a batch's images pass through in training: the model, or its head alone where they are features."""
        trained = self.model if self.features is None else self.features.head_of(self.model)
        return torch.compile(trained) if self.recipe.train.compile else trained


def check(recipe: Recipe) -> None:
    """Find every misspelt component, and the teacher, before any data is loaded. UserError for the first mistake."""
    Chain.parse(recipe.augment)
    schedules.build(recipe.schedule)
    for registry, text in ((models, recipe.model), (averages, recipe.average), (optimizers, recipe.optim.name)):
        registry.check(text)
    find_teacher(recipe)


def find_teacher(recipe: Recipe) -> Run | None:
    """The run that the recipe's training learns from. Raises UserError when there is none, or it is not finished."""
    if recipe.train.teacher == "none":
        return None
    try:
        run = Run.open(recipe.train.teacher.removeprefix("run:"))
        run.require_trained()
    except UserError as error:
        raise UserError(f"train.teacher={recipe.train.teacher}: {error}") from None
    return run


def load_splits(recipe: Recipe, *, source: str | None = None) -> Splits:
    """The recipe's data, decoded and cut; from ``source``, where a run found them before, if that still exists."""
    data = recipe.data
    where = source if source is not None and Path(source).exists() else data.source
    official = load(where, size=data.size, channels=data.channels, fit=data.fit, bad_images=data.bad_images)
    return make_splits(
        official, plan=data.plan, val=data.val, test=data.test, split_seed=data.split_seed, limit=data.limit
    )


def build(recipe: Recipe, device: Device, splits: Splits) -> Parts:
    """Everything at step 0. The same recipe and splits give the same bits.

    Raises UserError when the model or the teacher cannot take the images, a component's arguments are wrong, or
    `train.solver` has no head to solve for.
    """
    train, target = splits.train, device.torch
    teacher = find_teacher(recipe)
    feed = Feed(
        train,
        batch_size=recipe.train.batch_size,
        augment=Chain.parse(recipe.augment),
        seed=recipe.seed,
        device=target,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(recipe.seed, "weights"))
        network = build_network(recipe.model, train.channels, len(train.classes), train.size, train.classes)
    if hasattr(network, "architecture") and not hasattr(network, "origin"):
        forget_faster(network)
    mean, std = getattr(network, "normalisation", None) or train.statistics()
    model = Classifier(network, mean, std).to(target).to(memory_format=torch.channels_last)
    _initialise(model, feed)
    optim = recipe.optim
    since = plan(network, recipe.train.freeze, recipe.train.unfreeze_every)
    freeze = Freeze(network, since)
    freeze.hold(recipe.train.epochs)  # what is never trained has no place in the optimizer
    groups = parameter_groups(
        network,
        lr=optim.lr,
        weight_decay=optim.weight_decay,
        bias_lr=optim.bias_lr,
        head_lr=optim.head_lr,
        head=[f"{head}.weight" for head in heads(network)],
        until=getattr(network, "trained_epochs", {}),
        scale={name: optim.layer_decay**distance for name, distance in distances(network).items()},
    )
    freeze.hold(0)
    parts = optimizers.build(
        optim.name,
        groups=groups,
        lr=optim.lr,
        momentum=optim.momentum,
        nesterov=optim.nesterov,
        betas=optim.betas,
    )
    return Parts(
        recipe=recipe,
        device=device,
        splits=splits,
        feed=feed,
        model=model,
        freeze=freeze,
        optimizer=Optimizer(parts, optim.clip),
        schedule=schedules.build(recipe.schedule),
        average=averages.build(recipe.average, network=model),
        objective=_objective(recipe, device, splits, teacher),
        teacher=teacher,
        probed=_probed(recipe, model, freeze, train.images[:8].to(target).float().div(255)),
    )


def with_features(parts: Parts) -> Parts:
    """The same parts, where `Parts.probed`, with features in place of images.

    What passed through the frozen trunk in every epoch passes once, in as many augmented views as there are epochs, but
    no more than `train.feature_views`; for `knn` as it is.
    """
    train = parts.recipe.train
    if parts.probed is None:
        return parts
    views = {"steps": min(ceil(train.epochs), train.feature_views), "lbfgs": train.feature_views, "knn": 0}[
        train.solver
    ]
    features = compute(parts.model, parts.probed, parts.recipe, parts.splits, parts.device, views)
    feed = FeatureFeed(features, batch_size=parts.feed.batch_size, seed=parts.recipe.seed)
    return replace(parts, feed=feed, features=features)


def try_out(parts: Parts) -> None:
    """Augment the first batch and pass a few of its images through the model in training mode; nothing is changed.

    Raises UserError for settings that fit the recipe's schema but not these images: a shift larger than the image,
    batches of one image under batch norm.
    """
    before = {name: tensor.clone() for name, tensor in parts.model.state_dict().items()}
    images = parts.feed.batch(0).images[:8]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), parts.device.autocast():
            parts.model.train()
            parts.freeze.hold(0)
            parts.model(images)
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"model '{parts.recipe.model}' cannot train on batches of {parts.feed.batch_size} images of "
            f"{images.shape[-2]} x {images.shape[-1]} pixels ({reason})"
        ) from None
    parts.model.load_state_dict(before)


def describe(model: Classifier, recipe: Recipe, images: ImageSet) -> dict[str, Any]:
    """The card of a model that was made for images like these: what its weights need to be used."""
    return {
        "model": getattr(model.network, "architecture", recipe.model),
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
            put_head(network, kept["head"], layer)
        except (AttributeError, RuntimeError):
            raise UserError(f"model.json: its neighbours do not fit {card['model']}: restore it") from None
    return Classifier(network, torch.tensor(card["mean"]), torch.tensor(card["std"]))


def ready(model: Classifier, device: Device) -> Classifier:
    """``model`` as it is scored everywhere: on its device, channels last, in evaluation mode."""
    return model.to(device.torch).to(memory_format=torch.channels_last).eval()


def load_classifier(run: Run, device: Device) -> Classifier:
    """A finished run's model, ready to score. UserError when its weights are missing, damaged or of another shape."""
    tensors = unpack(run.read_weights(), run.weights)
    card = run.card
    with own_components(run):
        model = classifier_for(card)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{run.weights}: does not fit the model {card['model']} ({error})") from None
    return ready(model, device)


@contextmanager
def own_components(run: Run) -> Iterator[None]:
    """Within this context an unknown component's message names the files that the run was trained with."""
    try:
        yield
    except UnknownName as error:
        files = " ".join(f"--import {file}" for file in run.env.get("imports", ()))
        if files:
            raise UserError(f"{error} ({run.path} was trained with {files}: pass it again)") from None
        raise


def _neighbours(network: nn.Module) -> dict[str, Any]:
    for name, layer in network.named_modules():
        if isinstance(layer, Neighbours):
            size = {"images": len(layer.known), "features": layer.known.shape[1]}
            return {"neighbours": {"head": name, "k": layer.k, **size}}
    return {}


def _probed(recipe: Recipe, model: Classifier, freeze: Freeze, images: Tensor) -> str | None:
    """`Parts.probed`, tried on images (B, C, H, W) in 0..1. Raises UserError when a solver needs it and it is none."""
    train = recipe.train
    taught = train.teacher != "none"
    head = freeze.probed if not taught and freeze.probed and is_linear(model, freeze.probed, images) else None
    if train.solver == "steps" or head is not None:
        return head
    if taught:
        reason, remedy = "cannot learn from a teacher", "train.teacher=none"
    elif not freeze.head_alone:
        reason, remedy = "finds the head alone", "train.freeze=all-but-head and no train.unfreeze_every"
    else:
        reason = f"model '{recipe.model}' does not end in one linear layer"
        remedy = "last_relu='identity' in a model with a ReLU at its end"
    raise UserError(f"train.solver={train.solver}: {reason}: set {remedy}, or train.solver=steps")


def _frozen(model: Classifier) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)


@torch.no_grad()
def _initialise(model: Classifier, feed: Feed) -> None:
    initialise = getattr(model.network, "initialise", None)
    if initialise is not None:
        images = feed.images[:INITIALISE_ON].float().div(255)
        initialise(model.normalise(images))


def _objective(recipe: Recipe, device: Device, splits: Splits, teacher: Run | None) -> Objective:
    settings = recipe.train
    weights = _class_weights(splits).to(device.torch) if settings.class_weights == "balanced" else None
    labels = Labels(weights, settings.label_smoothing)
    if teacher is None:
        return labels
    _require_fit(teacher, splits.train)
    return Distillation(labels, load_classifier(teacher, device), device, settings.temperature, settings.teacher_weight)


def _require_fit(teacher: Run, images: ImageSet) -> None:
    """Raises UserError when the teacher was trained for other classes, or on images that these cannot be shown as."""
    card, classes = teacher.card, list(images.classes)
    said = f"train.teacher=run:{teacher.path}: was trained"
    if card["classes"] != classes:
        raise UserError(
            f"{said} for {_listed(card['classes'])}, the data has {_listed(classes)}: name a teacher of the same "
            "classes in the same order"
        )
    if tuple(card["size"]) != images.size:
        (height, width), (h, w) = card["size"], images.size
        raise UserError(
            f"{said} on images of {height} x {width} pixels, these have {h} x {w}: give both trainings one data.size"
        )
    if card["channels"] < images.channels:  # the other way round, grey images become RGB
        raise UserError(f"{said} on grey images, these are RGB: set data.channels=1")


def _listed(classes: list[str]) -> str:
    names = ", ".join(classes[:LISTED]) + (", ..." if len(classes) > LISTED else "")
    return f"{len(classes)} classes ({names})"


def _class_weights(splits: Splits) -> Tensor:
    """float32 (K,): proportional to 1 / class count, of mean 1 over the training images."""
    counts = splits.train.class_counts().clamp(min=1).float()
    return counts.sum() / (len(counts) * counts)
