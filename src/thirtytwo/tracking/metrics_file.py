"""The evaluations of a training in the run's own folder."""

from typing_extensions import override

from thirtytwo.runs.run import Run
from thirtytwo.tracking.events import Evaluation, Listener


class MetricsFile(Listener):
    """Appends each evaluation to ``metrics.jsonl``."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @override
    def evaluated(self, evaluation: Evaluation) -> None:
        measured = {
            "step": evaluation.step,
            "epoch": round(evaluation.epoch, 4),
            "lr": evaluation.lr,
            "train_loss": evaluation.train_loss,
            "train_accuracy": evaluation.train_accuracy,
            "val_loss": evaluation.val_loss,
            "val_accuracy": evaluation.val_accuracy,
            "seconds": round(evaluation.seconds, 3),
        }
        self.run.log({key: value for key, value in measured.items() if value is not None})
