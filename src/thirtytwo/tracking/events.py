"""What a training reports about itself, and how to listen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thirtytwo.runs.run import Run


@dataclass(frozen=True)
class Progress:
    """How far a training has got, reported a few times per second.

    Attributes:
        step: steps taken.
        steps: steps of the whole training.
        epoch: passes over the training images, including the fraction of the current one.
        loss: the last step's.
        seconds: spent so far, including earlier sittings of a resumed run.
        remaining: expected seconds until the run is trained and scored.

    >>> from thirtytwo import Progress
    >>> Progress(step=20, steps=80, epoch=1.0, loss=0.7, seconds=0.5, remaining=1.5).share
    0.25
    """

    step: int
    steps: int
    epoch: float
    loss: float
    seconds: float
    remaining: float

    @property
    def share(self) -> float:
        """Share of the steps that have been taken, in 0..1."""
        return self.step / self.steps


@dataclass(frozen=True)
class Evaluation:
    """The network scored on val in the course of its training, with what the training did since the evaluation before.

    Attributes:
        step: steps taken; passes over the data if the head is solved for.
        epoch: passes over the training images, including the fraction of the current one.
        rates: the learning rate by role of the parameters ("filters", "weights", "head", "biases"), the highest of
            each; empty if the head is solved for.
        train_loss: mean over the steps since the last evaluation, as it was minimised; None if there is none.
        train_accuracy: share of the augmented training images that were right, likewise.
        val_loss: cross-entropy in nats.
        val_accuracy: share of val's images that are right.
        seconds: of training and evaluating so far, over all sittings.

    >>> from thirtytwo import Evaluation
    >>> Evaluation(
    ...     step=20, epoch=1.0, rates={"filters": 0.1, "biases": 0.2}, train_loss=1.5, train_accuracy=0.5, val_loss=1.2,
    ...     val_accuracy=0.6, seconds=0.5
    ... ).lr
    0.1
    """

    step: int
    epoch: float
    rates: Mapping[str, float]
    train_loss: float | None
    train_accuracy: float | None
    val_loss: float
    val_accuracy: float
    seconds: float

    @property
    def lr(self) -> float | None:
        """The rate that ``optim.lr`` peaks at: that of filters, else of weights, head, biases; None if solved for."""
        order = ("filters", "weights", "head", "biases")
        return next((self.rates[role] for role in order if role in self.rates), None)


class Listener:
    """Hears about a training: the display, metrics.jsonl, a study's worker, a tracker. By default it does nothing.

    A resumed training reports the evaluations after its newest checkpoint again: their steps identify them.

    >>> from thirtytwo import Evaluation, Listener
    >>> class Steps(Listener):
    ...     def evaluated(self, evaluation: Evaluation) -> None:
    ...         print(evaluation.step, end=" ")
    >>> import thirtytwo
    >>> run = thirtytwo.train(model="cnn2(width=2)", epochs=2, progress=False, track=[Steps()])
    20 40
    """

    def began(self, run: "Run") -> None:
        """Called before the first step of a sitting; ``run.metrics()`` has the evaluations of earlier ones."""

    def progressed(self, progress: Progress) -> None:
        """Called a few times per second, and after the last step."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """Called after each evaluation."""

    def trained(self, run: "Run") -> None:
        """Called once after the last step, before the run is scored."""

    def ended(self, run: "Run") -> None:
        """Called once at the end, however the training ended: ``run.status`` says what, and the run has the scores."""
