"""When to stop before the last step, and which weights to keep."""

from math import inf

from torch import Tensor, nn

from thirtytwo.records import BestRecord


class EarlyStopping:
    """Remembers the best evaluation, and its weights if a patience is set.

    Args:
        patience: evaluations without a lower loss on val after which the training stops; None never stops it.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.loss = inf
        self.waited = 0
        self.weights: dict[str, Tensor] = {}

    def observe(self, loss: float, model: nn.Module) -> None:
        """Called after each evaluation with val's loss and the model that has it."""
        if loss >= self.loss:
            self.waited += 1
            return
        self.loss, self.waited = loss, 0
        if self.patience is not None:
            self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    @property
    def due(self) -> bool:
        """Whether val's loss has not improved for as many evaluations as the patience allows."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> BestRecord:
        """Its state apart from the weights, ready for JSON."""
        return {"loss": None if self.loss == inf else self.loss, "waited": self.waited}

    def restore(self, state: BestRecord, weights: dict[str, Tensor]) -> None:
        """Restore what `state` returned, and the ``weights``."""
        self.loss, self.waited = inf if state["loss"] is None else state["loss"], state["waited"]
        self.weights = weights
