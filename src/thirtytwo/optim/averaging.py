"""Averages of the weights over the course of a training."""

from copy import deepcopy
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from thirtytwo.optim import averages


class Average:
    """No average: the network that is trained is the one that is scored. Other averages derive from it."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.steps = 0

    @property
    def model(self) -> nn.Module:
        """The network to score and to keep."""
        return self.network

    def update(self, progress: float) -> None:
        """Called after each step; ``progress`` in (0, 1], 1 after the last step."""
        self.steps += 1

    def tensors(self) -> dict[str, Tensor]:
        """Its state, for a checkpoint."""
        return {}

    def load_tensors(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Restore what `tensors` returned after ``steps`` updates."""
        self.steps = steps
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


@averages.register_as("none")
def none(network: nn.Module) -> Average:
    """The trained network itself."""
    return Average(network)


@averages.register_as("ema")
class ExponentialMovingAverage(Average):
    """Exponential moving average of weights and statistics, scored in place of the network.

    The decay starts at 1/11 and grows as (1 + t) / (10 + t), so that the random start is forgotten quickly.
    """

    def __init__(self, network: nn.Module, decay: Annotated[float, Field(gt=0, lt=1)] = 0.99) -> None:
        super().__init__(network)
        self.decay = decay
        self.average = deepcopy(network).requires_grad_(False)

    @property
    @override
    def model(self) -> nn.Module:
        return self.average

    @torch.no_grad()
    @override
    def update(self, progress: float) -> None:
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        super().update(progress)
        for mean, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - decay)
            else:
                mean.copy_(new)

    @override
    def tensors(self) -> dict[str, Tensor]:
        return dict(self.average.state_dict())


@averages.register_as("lookahead")
class Lookahead(Average):
    """Slow weights to which the network is pulled back every few steps (arXiv 1907.08610).

    As in the speedruns (arXiv 2404.00498) the pull is decay^every * progress^3: weak early, strong late; after the
    last step the network has its slow weights.
    """

    def __init__(
        self,
        network: nn.Module,
        every: Annotated[int, Field(ge=1)] = 5,
        decay: Annotated[float, Field(gt=0, lt=1)] = 0.95,
    ) -> None:
        super().__init__(network)
        self.every = every
        self.decay = decay
        self.slow = {name: value.clone() for name, value in _floating(network).items()}

    @torch.no_grad()
    @override
    def update(self, progress: float) -> None:
        super().update(progress)
        last = progress >= 1
        if last or self.steps % self.every == 0:
            pull = 1.0 if last else self.decay**self.every * progress**3
            for name, value in _floating(self.network).items():
                self.slow[name].lerp_(value, 1 - pull)
                value.copy_(self.slow[name])

    @override
    def tensors(self) -> dict[str, Tensor]:
        return self.slow


def _floating(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
