"""The training: one loop for every recipe, exact when resumed."""

from collections.abc import Callable

import torch
from torch import Tensor

from thirtytwo.augment import Batch
from thirtytwo.interrupt import Interrupted, Interruption
from thirtytwo.rng import derive
from thirtytwo.runs.run import Run
from thirtytwo.training.build import Parts
from thirtytwo.training.state import Progress, State

CHECKPOINT_EVERY = 30.0
"""Seconds between two checkpoints."""
TICK = 0.25
"""Seconds between two reports of progress. Each one waits for the device."""

Watch = Callable[[Progress], None]


def train(parts: Parts, run: Run, *, watch: Watch, checkpoint_every: float = CHECKPOINT_EVERY) -> None:
    """Train from where ``run`` stands to the last step, then leave the trained weights in the run.

    The order of the images, the augmentations and dropout derive from (seed, step), so that a resumed training goes on
    with the same bits. Checkpoints are written every ``checkpoint_every`` seconds and when the training is interrupted.

    Raises:
        Interrupted: asked to stop by a signal; the state is saved.
        UserError: the loss is not finite any more; the last good checkpoint stays.
    """
    forward = parts.forward
    state = State(parts, run)
    with parts.device.training(), Interruption() as interruption:
        for step in range(state.step, parts.steps):
            if state.out_of_patience():
                break
            loss, logits, batch = advance(parts, forward, step, parts.schedule(step / parts.steps))
            parts.average.update((step + 1) / parts.steps)

            state.record(step, loss, logits, batch)
            if state.evaluation_due():
                state.evaluate()
            asked = interruption.requested
            if asked or state.checkpoint_age > checkpoint_every:
                state.save()
            if state.tick_age > TICK or state.step == parts.steps:
                watch(state.progress())
            if asked:
                run.set_status("interrupted", step=state.step, seconds=state.seconds)
                raise Interrupted(asked)
    state.finish()


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
    with parts.device.autocast():
        logits = forward(batch.images)
    loss = parts.objective(logits.float(), batch)
    loss.backward()
    parts.optimizer.step(multiplier, epoch)
    return loss.detach(), logits.detach(), batch
