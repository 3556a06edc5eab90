"""A network from an own run, with its weights: ``model=run:runs/mnist-cnn-1``."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from thirtytwo.errors import UserError
from thirtytwo.models import models
from thirtytwo.models.pretrained import origin, put
from thirtytwo.runs.checkpoint import unpack
from thirtytwo.runs.run import Run


@models.register_family("run:")
class RunFamily:
    """The name of a network is the path of a run's folder."""

    def names(self) -> list[str]:
        """None: runs may lie anywhere."""
        return []

    def get(self, name: str) -> Callable[..., nn.Module]:
        """The factory of a run's network. Raises UserError when there is no run, or it was not trained to its end."""
        run = Run.open(Path(name))
        run.require_trained()
        card = run.card

        def network(channels: int, classes: int, size: tuple[int, int], labels: tuple[str, ...]) -> nn.Module:
            """The run's network with its normalisation; its head too where the classes are the same."""
            seen = len(card["mean"])
            if seen == 1 < channels:
                raise UserError(f"run:{name}: was trained on grey images, these are RGB: set data.channels=1")
            built = models.build(card["model"], channels=seen, classes=classes, size=size, labels=labels)
            tensors = {
                key.removeprefix("network."): tensor
                for key, tensor in unpack(run.read_weights(), run.weights).items()
                if key.startswith("network.")
            }
            if kept := card.get("neighbours"):  # no layer of weights: the head starts anew
                tensors = {key: each for key, each in tensors.items() if not key.startswith(f"{kept['head']}.")}
            same = "neighbours" not in card and (not labels or list(labels) == card["classes"])
            put(tensors, built, card["model"], run.weights, with_head=same)
            built.initialise = None  # type: ignore[assignment]  # its weights need no start from the images
            built.architecture = card["model"]
            built.origin = origin(run.path, card["sha256"])  # type: ignore[assignment]
            built.normalisation = torch.tensor(card["mean"]), torch.tensor(card["std"])  # type: ignore[assignment]
            return built

        return network
