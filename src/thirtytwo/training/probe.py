"""Heads that are solved for instead of trained: a linear probe by L-BFGS, and the nearest training images."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from thirtytwo.augment import Batch
from thirtytwo.data.waiting import counted
from thirtytwo.errors import UserError
from thirtytwo.interrupt import Interrupted, Interruption
from thirtytwo.models.neighbours import Neighbours, put_head
from thirtytwo.records import Solved
from thirtytwo.runs.run import Run
from thirtytwo.tracking.events import Evaluation, Listener
from thirtytwo.training.build import Parts
from thirtytwo.training.checkpointing import keep
from thirtytwo.training.features import Features, Head

PENALTIES = tuple(10 ** (-power / 2) for power in range(-2, 13))
"""Weights of half the squared norm in the linear probe's loss, 10 to 10^-6; each starts from the one before."""
ITERATIONS = 200
"""Iterations of L-BFGS for each penalty, at most."""
NEIGHBOURS = (1, 2, 5, 10, 20, 50, 100, 200)
"""How many nearest images vote."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A head that was solved for.

    Attributes:
        strength: its penalty, or its number of neighbours.
        layer: what takes the last layer's place.
        passes: how many passes over the training images it took.
        train_loss: nats per training image, without the penalty; None for neighbours: each image would find itself.
    """

    strength: float
    layer: nn.Module
    passes: int
    train_loss: float | None


def solve(parts: Parts, run: Run, *, listener: Listener) -> None:
    """Store in the run the head that ``train.solver`` asks for, of the strength with the lowest loss on val.

    Raises:
        Interrupted: asked to stop by a signal. The features are in the cache, so little is lost.
        UserError: the features are not finite.
    """
    features, labels, solver = parts.features, parts.splits.val.labels, parts.recipe.train.solver
    assert features is not None, "a solver without a head to solve for is refused when parts are built"
    began = time.monotonic() - features.seconds
    run.forget_after(0)
    listener.began(run)
    best: tuple[float, float, Candidate] | None = None
    tried, passes = [], 0
    with parts.device.training(), Interruption() as interruption:
        if solver == "lbfgs":
            candidates, strengths = _linear(parts, features, interruption), len(PENALTIES)
        else:
            candidates, strengths = _nearest(features, interruption), len(NEIGHBOURS)
        try:
            for candidate in counted(candidates, strengths, solver):
                with torch.inference_mode(), parts.device.autocast():  # as the run is scored
                    scores = Head(candidate.layer)(features.val).float().cpu()
                loss, accuracy = (
                    float(cross_entropy(scores, labels)),
                    float((scores.argmax(1) == labels).float().mean()),
                )
                tried.append({"strength": candidate.strength, "val_loss": loss, "val_accuracy": accuracy})
                passes += candidate.passes
                if isfinite(loss) and (best is None or loss < best[0]):
                    best = loss, accuracy, candidate
        except Interrupted:
            run.set_status("interrupted", step=0, seconds=time.monotonic() - began)
            raise
    if best is None:
        raise UserError(f"{run.path}: the features of '{parts.recipe.model}' are not finite: check its weights")
    loss, accuracy, chosen = best
    put_head(parts.model.network, features.head, chosen.layer)
    seconds = time.monotonic() - began
    listener.evaluated(Evaluation(passes, float(passes), {}, chosen.train_loss, None, loss, accuracy, seconds))
    solved: Solved = {"by": "knn" if solver == "knn" else "lbfgs", "strength": chosen.strength, "tried": tried}
    keep(run, parts, parts.model, step=passes, seconds=seconds, solved=solved)


def _linear(parts: Parts, features: Features, interruption: Interruption) -> Iterator[Candidate]:
    """The head's layer, solved for under one penalty after the other, the strongest first.

    Features are standardised for the solver, which their scales would slow down; the resulting layer takes them as they
    are. One that hardly varies about a large mean is scaled up by at most ten times that mean's inverse: otherwise its
    mean, which the bias subtracts, would exceed bf16's precision. A layer without biases stays without.
    """
    place = features.head_of(parts.model).layer
    images, targets = (torch.cat(each) for each in zip(*features.train, strict=True))
    std, mean = torch.std_mean(images, dim=0)
    mean = torch.zeros_like(mean) if place.bias is None else mean
    scale = torch.hypot(std, mean / 10)
    scale = torch.where(scale > 0, scale, 1)
    images.sub_(mean).div_(scale)
    whole = Batch(images, targets, torch.arange(len(images)))
    weight = torch.zeros(targets.shape[1], images.shape[1], device=images.device, requires_grad=True)
    bias = torch.zeros(targets.shape[1], device=images.device, requires_grad=place.bias is not None)

    def loss() -> Tensor:
        if interruption.requested:
            raise Interrupted(interruption.requested)
        return parts.objective(images @ weight.T + bias, whole)

    for penalty in PENALTIES:
        passes = _minimise(loss, penalty, weight, bias)
        layer = deepcopy(place)
        with torch.no_grad():
            layer.weight.copy_((weight / scale).view(layer.weight.shape))
            if layer.bias is not None:
                layer.bias.copy_(bias - weight / scale @ mean)
            train_loss = float(loss())
        yield Candidate(penalty, layer, passes, train_loss)


def _minimise(loss: Callable[[], Tensor], penalty: float, weight: Tensor, bias: Tensor) -> int:
    """Minimise ``loss`` plus ``penalty`` / 2 times the squared weights over weight and bias; returns the passes."""
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


def _nearest(features: Features, interruption: Interruption) -> Iterator[Candidate]:
    """The nearest training images, for each number of neighbours from the smallest up."""
    ((images, targets),) = features.train
    known, labels = normalize(images), targets.argmax(1)
    for k in NEIGHBOURS:
        if interruption.requested:
            raise Interrupted(interruption.requested)
        if k <= len(images):
            yield Candidate(k, Neighbours.of(k, known, labels, targets.shape[1]), 1, None)
