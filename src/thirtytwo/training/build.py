"""Recipe -> components: the only place where the two meet."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from thirtytwo.augment import Chain
from thirtytwo.data.imageset import to_float
from thirtytwo.data.split import Splits
from thirtytwo.device import Device
from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.models.adapt import forget_faster
from thirtytwo.models.classifier import Classifier, build_network, require_logits
from thirtytwo.models.stages import Freeze, distances, heads, plan
from thirtytwo.optim import averages, optimizers, schedules
from thirtytwo.optim.averaging import Average
from thirtytwo.optim.optimizer import Optimizer, parameter_groups
from thirtytwo.optim.schedule import Schedule
from thirtytwo.recipe import Recipe, Train
from thirtytwo.records import CardBody
from thirtytwo.rng import derive
from thirtytwo.runs import reuse  # noqa: F401  (makes models called run:PATH known)
from thirtytwo.runs.card import describe, require_fit
from thirtytwo.runs.loading import find_teacher, load_classifier
from thirtytwo.runs.run import Run
from thirtytwo.training.features import FeatureFeed, Features, compute, is_linear
from thirtytwo.training.feed import Batches, Feed
from thirtytwo.training.objective import Distillation, Labels, Objective
from thirtytwo.training.resizing import Resizing
from thirtytwo.words import plural

INITIALISE_ON = 5000
"""Images shown to a network with a data-dependent initialisation."""


@dataclass(eq=False)
class Parts:
    """Everything that one training needs."""

    recipe: Recipe
    device: Device
    splits: Splits
    augment: Chain
    feed: Batches
    resizing: Resizing
    model: Classifier
    freeze: Freeze
    optimizer: Optimizer
    schedule: Schedule
    average: Average
    objective: Objective
    teacher: Run | None
    probed: str | None
    """The last layer's name in the network, if it alone is trained and the logits follow from its inputs alone."""
    features: Features | None = None

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.feed.steps(self.recipe.train.epochs)

    @property
    def prepared(self) -> float:
        """Seconds spent computing or reading the features."""
        return 0.0 if self.features is None else self.features.seconds

    def evaluation_due(self, step: int) -> bool:
        """Whether the step that ends at ``step`` crosses a multiple of `train.eval_every` epochs, or is the last."""
        every = self.recipe.train.eval_every * self.feed.steps_per_epoch
        return step == self.steps or int(step / every) > int((step - 1) / every)

    def card(self) -> CardBody:
        """What the trained weights will need to be used."""
        card = describe(self.model, self.recipe, self.splits.train)
        if self.features is not None:
            card["feature_views"] = len(self.features.train)
        return card

    @property
    def forward(self) -> Callable[[Tensor], Tensor]:
        """What a batch's images pass through in training: the model, or its head alone if they are features."""
        trained = self.model if self.features is None else self.features.head_of(self.model)
        if not self.recipe.train.compile:
            return trained
        if self.device.torch.type != "cuda":
            return torch.compile(trained)
        # Shapes are static, since the last, smaller batch of an epoch is left out: the kernels of a step are recorded
        # once for each size of the images, and replayed without the processor starting them one by one (CUDA graphs).
        recorded = torch.compile(trained, mode="reduce-overhead")

        def forward(images: Tensor) -> Tensor:
            torch.compiler.cudagraph_mark_step_begin()  # the outputs of the step before are no longer needed
            outputs: Tensor = recorded(images)
            return outputs

        return forward


def build(recipe: Recipe, device: Device, splits: Splits) -> Parts:
    """Everything at step 0. The same recipe and splits give the same bits.

    Raises UserError if the model or the teacher cannot take the images, a component's arguments are wrong, or
    `train.solver` has no head to solve for.
    """
    train, target = splits.train, device.torch
    teacher, augment = find_teacher(recipe), Chain.parse(recipe.augment)
    feed = Feed(
        train,
        batch_size=recipe.train.batch_size,
        augment=augment,
        balanced=recipe.train.sampling == "balanced",
        seed=recipe.seed,
        device=target,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(recipe.seed, "weights"))
        together = min(feed.batch_size, len(train)) if target.type == "cpu" else 1
        network = build_network(recipe.model, train.channels, len(train.classes), train.size, train.classes, together)
    if network.architecture and not network.origin:
        forget_faster(network.module)
    model = (
        Classifier(network, *(network.normalisation or train.statistics()))
        .to(target)
        .to(memory_format=torch.channels_last)
    )
    if network.initialise is not None:
        with torch.no_grad():
            network.initialise(model.normalise(to_float(train.images[:INITIALISE_ON], target)))
    optim = recipe.optim
    since = plan(network, recipe.train.freeze, recipe.train.unfreeze_every)
    freeze = Freeze(network, since)
    freeze.hold(recipe.train.epochs)  # what is never trained has no place in the optimizer
    groups = parameter_groups(
        network.module,
        lr=optim.lr,
        weight_decay=optim.weight_decay,
        bias_lr=optim.bias_lr,
        bias_weight_decay=optim.bias_weight_decay,
        head_lr=optim.head_lr,
        head=[f"{head}.weight" for head in heads(network)],
        until=network.trained_epochs,
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
        augment=augment,
        feed=feed,
        resizing=Resizing(recipe.train.start_scale, recipe.train.full_size_from),
        model=model,
        freeze=freeze,
        optimizer=Optimizer(parts, optim.clip),
        schedule=schedules.build(recipe.schedule),
        average=averages.build(recipe.average, network=model),
        objective=_objective(recipe, device, splits, teacher),
        teacher=teacher,
        probed=_probed(recipe, model, freeze, to_float(train.images[:8], target)),
    )


def with_features(parts: Parts) -> Parts:
    """The same parts, if `Parts.probed`, with features in place of images.

    The images pass through the frozen trunk once instead of in every epoch, in as many augmented views as there are
    epochs but no more than `train.feature_views`; for `knn`, as they are.
    """
    train = parts.recipe.train
    if parts.probed is None:
        return parts
    views = {"steps": min(ceil(train.epochs), train.feature_views), "lbfgs": train.feature_views, "knn": 0}[
        train.solver
    ]
    seed = parts.recipe.seed
    features = compute(
        parts.model, parts.probed, parts.splits, augment=parts.augment, views=views, seed=seed, device=parts.device
    )
    balanced = train.sampling == "balanced"
    feed = FeatureFeed(features, batch_size=parts.feed.batch_size, seed=seed, balanced=balanced)
    return replace(parts, feed=feed, features=features)


def try_out(parts: Parts) -> None:
    """Augment the first batch and pass a few of its images through the model in training mode; nothing is changed.

    Raises UserError for settings that fit the recipe's schema but not these images: a shift larger than the image,
    batches of one image with batch norm; and for a network of the user's own that cannot be trained.
    """
    what = f"model '{parts.recipe.model}'"
    before = {name: tensor.clone() for name, tensor in parts.model.state_dict().items()}
    images = parts.resizing(parts.feed.batch(0).images[:8], 0)
    try:
        with torch.random.fork_rng(devices=[]), parts.device.autocast():
            parts.model.train()
            parts.freeze.hold(0)
            logits = parts.model(images)
    except Exception as error:  # a network of the user's own may raise anything
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{what} cannot train on batches of {plural(parts.feed.batch_size, 'image')} of "
            f"{images.shape[-2]} x {images.shape[-1]} pixels{_as_resized(parts.recipe)} ({reason})"
        ) from error
    require_logits(logits, len(images), len(parts.splits.train.classes), what)
    if not logits.requires_grad:
        raise UserError(f"{what} returns an output that does not depend on any parameter that is trained")
    parts.model.load_state_dict(before)


def _as_resized(recipe: Recipe) -> str:
    return f", as train.start_scale={recipe.train.start_scale:g} shows them" if recipe.train.start_scale < 1 else ""


def _probed(recipe: Recipe, model: Classifier, freeze: Freeze, images: Tensor) -> str | None:
    """`Parts.probed`, tested on images (B, C, H, W) in 0..1. Raises UserError if a solver needs it and it is None."""
    train = recipe.train
    taught = train.teacher != "none"
    head = freeze.probed if not taught and freeze.probed and is_linear(model, freeze.probed, images) else None
    if head is not None and train.start_scale < 1:
        raise UserError(
            f"train.start_scale={train.start_scale:g}: only the head is trained, on features that are computed once: "
            "leave it out"
        )
    if train.solver == "steps" or head is not None:
        return head
    if taught:
        reason, remedy = "cannot learn from a teacher", "train.teacher=none"
    elif not freeze.head_alone:
        reason, remedy = "finds only the head", "train.freeze=all-but-head and no train.unfreeze_every"
    else:
        reason = f"model '{recipe.model}' does not end in one linear layer"
        remedy = "last_relu='identity' in a model that ends in a ReLU"
    raise UserError(f"train.solver={train.solver}: {reason}: set {remedy}, or train.solver=steps")


def _objective(recipe: Recipe, device: Device, splits: Splits, teacher: Run | None) -> Objective:
    settings = recipe.train
    weights = _class_weights(settings, splits)
    labels = Labels(None if weights is None else weights.to(device.torch), settings.label_smoothing)
    if teacher is None:
        return labels
    require_fit(teacher.require_trained(), splits.train, f"train.teacher=run:{teacher.path}: was trained")
    return Distillation(labels, load_classifier(teacher, device), device, settings.temperature, settings.teacher_weight)


def _class_weights(settings: Train, splits: Splits) -> Tensor | None:
    """float32 (K,), of mean 1 over the images that are shown; None for equal weights."""
    counts = splits.train.class_counts().clamp(min=1).float()
    if settings.class_weights == "none":
        return None
    if settings.class_weights == "balanced":
        if settings.sampling == "balanced":
            raise UserError("train.class_weights=balanced: train.sampling=balanced balances the classes: choose one")
        return counts.sum() / (len(counts) * counts)
    for name in settings.class_weights:
        if name not in splits.train.classes:
            raise UserError(f"train.class_weights: no class '{name}'{did_you_mean(name, splits.train.classes)}")
    weights = torch.tensor([settings.class_weights.get(name, 1.0) for name in splits.train.classes])
    shown = torch.ones_like(counts) if settings.sampling == "balanced" else counts
    return weights * shown.sum() / (weights * shown).sum()
