"""Heads that are solved for instead of trained: a linear probe by L-BFGS, and the nearest training images."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from thirtytwo.augment import Batch
from thirtytwo.build import Parts, describe, with_features
from thirtytwo.checkpoint import pack
from thirtytwo.data.waiting import counted
from thirtytwo.features import Features, Head
from thirtytwo.interrupt import Interrupted, Interruption
from thirtytwo.models.neighbours import Neighbours, put_head
from thirtytwo.run import Run

PENALTIES = tuple(10 ** (-power / 2) for power in range(2, 13))
"""Weights of half the squared norm in the linear probe's loss, 0.1 to 10^-6; each starts where the one before ended."""
ITERATIONS = 200
"""Of L-BFGS for each penalty, at most."""
NEIGHBOURS = (1, 2, 5, 10, 20, 50, 100, 200)
"""How many nearest images vote."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A head that was solved for.

    Attributes:
        strength: its penalty, or its number of neighbours.
        layer: what takes the last layer's place.
        passes: over the training images that it took.
        train_loss: nats a training image, without the penalty; None for neighbours: each image would find itself.
    """

    strength: float
    layer: nn.Module
    passes: int
    train_loss: float | None


def solve(parts: Parts, run: Run) -> None:
    """Find the head that ``train.solver`` asks for, of the strength with the least loss on val: it is left in the run.

    Raises:
        Interrupted: asked to stop by a signal. The features are in the cache, so that little is lost.
        UserError: the model does not end in one linear layer that alone is trained.
    """
    began = time.monotonic()
    run.forget_after(0)
    run.set_status("running", step=0, steps=1, seconds=0.0)
    parts = with_features(parts)
    features, labels = parts.features, parts.splits.val.labels
    assert features is not None, "with_features raises where a solver gets none"
    linear = parts.recipe.train.solver == "lbfgs"
    candidates = _linear(parts, features) if linear else _nearest(parts, features)
    best: tuple[float, float, Candidate] | None = None
    tried, passes = [], 0
    with parts.device.training(), Interruption() as interruption:
        for candidate in counted(candidates, len(PENALTIES if linear else NEIGHBOURS), parts.recipe.train.solver):
            with torch.inference_mode():
                scores = Head(candidate.layer)(features.val).cpu()
            loss, accuracy = float(cross_entropy(scores, labels)), float((scores.argmax(1) == labels).float().mean())
            tried.append({"strength": candidate.strength, "val_loss": loss, "val_accuracy": accuracy})
            passes += candidate.passes
            if best is None or loss < best[0]:
                best = loss, accuracy, candidate
            if interruption.requested:
                run.set_status("interrupted", step=0, seconds=time.monotonic() - began)
                raise Interrupted(interruption.requested)
    assert best is not None
    loss, accuracy, chosen = best
    put_head(parts.model.network, features.head, chosen.layer)
    card = describe(parts.model, parts.recipe, parts.splits.train)
    card["solved"] = {"by": parts.recipe.train.solver, "strength": chosen.strength, "tried": tried}
    seconds = time.monotonic() - began
    record = {"step": passes, "epoch": float(passes), "val_loss": loss, "val_accuracy": accuracy}
    run.log(
        {**record, "seconds": round(seconds, 3)}
        | ({} if chosen.train_loss is None else {"train_loss": chosen.train_loss})
    )
    run.write_model(pack(dict(parts.model.state_dict())), card)
    run.set_status("trained", step=passes, steps=passes, seconds=seconds)


def _linear(parts: Parts, features: Features) -> Iterator[Candidate]:
    """The head's layer, solved for under one penalty after the other, the strongest first.

    Features are standardised for the solver, which their scales would slow down; the layer that is left takes them as
    they are. A layer without biases keeps none.
    """
    place = features.head_of(parts.model).layer
    images, targets = (torch.cat(each) for each in zip(*features.train, strict=True))
    std, mean = torch.std_mean(images, dim=0)
    std = torch.where(std > 0, std, 1)
    mean = torch.zeros_like(mean) if place.bias is None else mean
    images = (images - mean) / std
    weight = torch.zeros(targets.shape[1], images.shape[1], device=images.device, requires_grad=True)
    bias = torch.zeros(targets.shape[1], device=images.device, requires_grad=place.bias is not None)

    whole = Batch(images, targets, torch.arange(len(images)))

    def loss() -> Tensor:
        return parts.objective(images @ weight.T + bias, whole)

    for penalty in PENALTIES:
        passes = _minimise(loss, penalty, weight, bias)
        layer = deepcopy(place)
        with torch.no_grad():
            layer.weight.copy_((weight / std).view(layer.weight.shape))
            if layer.bias is not None:
                layer.bias.copy_(bias - weight / std @ mean)
            yield Candidate(penalty, layer, passes, float(loss()))


def _minimise(loss: Callable[[], Tensor], penalty: float, weight: Tensor, bias: Tensor) -> int:
    """Bring weight and bias to where ``loss`` plus ``penalty`` / 2 times the squared weights is least: passes taken."""
    free = [each for each in (weight, bias) if each.requires_grad]
    solver = torch.optim.LBFGS(free, max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe")
    passes = 0

    def objective() -> Tensor:
        nonlocal passes
        passes += 1
        solver.zero_grad()
        whole = loss() + penalty / 2 * weight.square().sum()
        whole.backward()
        return whole

    solver.step(objective)
    return passes


def _nearest(parts: Parts, features: Features) -> Iterator[Candidate]:
    """The nearest training images, few first. Where augmentations mix images, each counts for its largest share."""
    images, targets = (torch.cat(each) for each in zip(*features.train, strict=True))
    for k in NEIGHBOURS:
        if k <= len(images):
            yield Candidate(k, Neighbours.of(k, images, targets.argmax(1), targets.shape[1]), 1, None)
