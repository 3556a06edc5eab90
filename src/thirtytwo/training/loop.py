"""The training: one loop for every recipe, exact when resumed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from thirtytwo.augment import Batch
from thirtytwo.errors import UserError
from thirtytwo.evaluation.predict import VIEWS, logits
from thirtytwo.interrupt import Interrupted, Interruption
from thirtytwo.rng import derive
from thirtytwo.runs import checkpoint
from thirtytwo.runs.run import Run
from thirtytwo.tracking.events import Evaluation, Listener, Progress
from thirtytwo.training.build import Parts
from thirtytwo.training.checkpointing import Checkpointing, keep, require_finite
from thirtytwo.training.early_stopping import EarlyStopping
from thirtytwo.training.meter import Meter, NotFinite

CHECKPOINT_EVERY = 30.0
"""Seconds between two checkpoints."""
TICK = 0.25
"""Seconds between two reports of progress. Each one waits for the device."""


def train(parts: Parts, run: Run, *, listener: Listener, checkpoint_every: float = CHECKPOINT_EVERY) -> None:
    """Train from where ``run`` stopped to the last step, then store the trained weights in the run.

    The order of the images, the augmentations and dropout derive from (seed, step), so a resumed training continues
    with the same bits. A checkpoint is written every ``checkpoint_every`` seconds and at an interruption.

    Raises:
        Interrupted: asked to stop by a signal; the state is saved.
        UserError: the loss is no longer finite; the last good checkpoint stays.
    """
    forward, meter, stopping = parts.forward, Meter(), EarlyStopping(parts.recipe.train.patience)
    checkpoints = Checkpointing(run, parts, meter, stopping, checkpoint_every)
    clock = Clock(parts.prepared + checkpoints.restore(), meter.step, _to_score(parts, run))
    if parts.features is not None:
        clock.per_image = parts.features.per_image
    run.set_status("running", step=meter.step, steps=parts.steps, seconds=clock.before)
    listener.began(run)
    with _finite(run, parts):
        with parts.device.training(), Interruption() as interruption:
            for step in range(meter.step, parts.steps):
                if stopping.due:
                    break
                loss, outputs, batch = advance(parts, forward, step, parts.schedule(step / parts.steps))
                parts.average.update((step + 1) / parts.steps)

                meter.record(loss, outputs, batch)
                if parts.evaluation_due(meter.step):
                    began = time.monotonic()
                    evaluation = evaluate(parts, meter, clock.seconds)
                    if parts.features is None:
                        clock.per_image = (time.monotonic() - began) / len(parts.splits.val)
                    parts.schedule.observe(evaluation.val_loss)
                    stopping.observe(evaluation.val_loss, parts.average.model)
                    listener.evaluated(evaluation)
                asked = interruption.requested
                if asked or checkpoints.due:
                    checkpoints.save(clock.seconds)
                if clock.ticked or meter.step == parts.steps or stopping.due:
                    listener.progressed(clock.progress(parts, meter))
                if asked:
                    run.set_status("interrupted", step=meter.step, seconds=clock.seconds)
                    raise Interrupted(asked)
        checkpoints.save(clock.seconds)  # for `--continue`: the weights that are kept are averaged, or the best ones
        _finish(parts, run, meter.step, clock.seconds, stopping)
    listener.trained(run)


def advance(
    parts: Parts, forward: Callable[[Tensor], Tensor], step: int, multiplier: float
) -> tuple[Tensor, Tensor, Batch]:
    """Train on the batch of ``step``, at ``multiplier`` times each group's peak learning rate.

    ``forward`` takes its images: `Parts.forward`, made once. Returns the loss and the logits (B, K) before the update,
    and the batch.
    """
    epoch = parts.feed.epoch(step)
    parts.model.train()
    parts.freeze.hold(epoch)
    torch.manual_seed(derive(parts.recipe.seed, "dropout", step))
    batch = parts.feed.batch(step)
    images = parts.resizing(batch.images, step / parts.steps)
    with parts.device.autocast():
        outputs = forward(images)
    loss = parts.objective(outputs.float(), batch)
    torch.autograd.backward(loss)
    parts.optimizer.step(multiplier, epoch)
    return loss.detach(), outputs.detach(), batch


def evaluate(parts: Parts, meter: Meter, seconds: float) -> Evaluation:
    """Score val after the meter's last step, and clear the meter.

    Raises NotFinite if a loss since the last evaluation, or val's, is not finite.
    """
    meter.require_finite()
    loss, accuracy = score_val(parts)
    if not isfinite(loss):
        raise NotFinite(meter.step - 1)
    rates: dict[str, float] = {}
    for group in parts.optimizer.groups:
        rates[group["role"]] = max(group["lr"], rates.get(group["role"], 0.0))
    epoch = parts.feed.epoch(meter.step)
    found = Evaluation(meter.step, epoch, rates, meter.loss, meter.accuracy, loss, accuracy, seconds)
    meter.clear()
    return found


@torch.inference_mode()
def score_val(parts: Parts) -> tuple[float, float]:
    """Mean cross-entropy on val in nats, and share of right answers, of a training's model as it is now."""
    model, val = parts.average.model, parts.splits.val
    if parts.features is None:
        scores = logits(model, val.images, parts.device)
    else:
        with parts.device.autocast():
            scores = parts.features.head_of(model)(parts.features.val).float().cpu()
    right = scores.argmax(1) == val.labels
    return float(cross_entropy(scores, val.labels)), float(right.float().mean())


class Clock:
    """Seconds of training, over all sittings of a run.

    Args:
        before: seconds of earlier sittings, and of preparation.
        step: steps taken before this sitting.
        to_score: how many images pass through the network after the last step, each view counted.

    Set ``per_image`` to the seconds of one of these, once they are measured. Until then, a third of a step with images
    of their own size is taken for its forward pass.
    """

    def __init__(self, before: float, step: int, to_score: int) -> None:
        self.before, self._first, self._to_score = before, step, to_score
        self.per_image: float | None = None
        self._began = self._ticked = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluating so far."""
        return self.before + time.monotonic() - self._began

    @property
    def ticked(self) -> bool:
        """Whether it is time for another report of progress."""
        return time.monotonic() - self._ticked > TICK

    def progress(self, parts: Parts, meter: Meter) -> Progress:
        """How far the training has got. Raises NotFinite if a loss is not finite."""
        self._ticked = time.monotonic()
        meter.require_finite()
        first, now, end = (parts.resizing.work(step / parts.steps) for step in (self._first, meter.step, parts.steps))
        per_step = (time.monotonic() - self._began) / ((now - first) * parts.steps or 1.0)
        one = per_step / parts.feed.batch_size / 3 if self.per_image is None else self.per_image
        left = per_step * parts.steps * (end - now) + one * self._to_score
        return Progress(meter.step, parts.steps, parts.feed.epoch(meter.step), meter.last_loss, self.seconds, left)


def _to_score(parts: Parts, run: Run) -> int:
    """Images to pass through the network at the end: val's, test's unless withheld, their views, some of train."""
    val = len(parts.splits.val)
    images = val + (len(parts.splits.test) if run.status.get("test", True) else 0)
    evaluate = parts.recipe.evaluate
    return round(images * (1 + (VIEWS[evaluate.views] - 1) * evaluate.views_share)) + min(val, len(parts.splits.train))


@contextmanager
def _finite(run: Run, parts: Parts) -> Iterator[None]:
    """Within this context a number that is not finite marks the run as failed and raises a UserError."""
    try:
        yield
    except NotFinite as error:
        epoch, batch = divmod(error.step, parts.feed.steps_per_epoch)
        kept = checkpoint.steps(run.checkpoints)
        message = (
            f"the loss or the weights are not finite at step {error.step + 1} (epoch {epoch + 1}, batch {batch + 1}): "
            f"lower optim.lr (now {parts.recipe.optim.lr:g}) or set optim.clip; "
            + (f"the last good checkpoint is from step {kept[-1]}" if kept else "no checkpoint had been written")
        )
        run.set_status("failed", step=error.step, message=message)
        raise UserError(f"{run.path}: {message}") from None


def _finish(parts: Parts, run: Run, step: int, seconds: float, stopping: EarlyStopping) -> None:
    """Store the trained weights in the run: the best ones on val if a patience is set, else the last."""
    model = parts.average.model
    if stopping.weights:
        model.load_state_dict(stopping.weights)
    require_finite(dict(model.state_dict()), step)
    # A training that was resumed after its last step has trained nothing here: freeze what its last step had frozen.
    parts.freeze.hold(parts.feed.epoch(max(0, step - 1)))
    keep(run, parts, model, step=step, seconds=seconds)
