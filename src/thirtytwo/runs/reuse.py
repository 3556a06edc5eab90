"""The network of an earlier run, with its weights: ``model=run:runs/mnist-cnn-1``."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from thirtytwo.errors import UserError
from thirtytwo.models import models
from thirtytwo.models.network import Network
from thirtytwo.models.pretrained import origin, put
from thirtytwo.runs.checkpoint import unpack
from thirtytwo.runs.run import Run
from thirtytwo.spec import RUN


@models.register_family(RUN)
class RunFamily:
    """Networks whose name is the path of a run's folder."""

    def names(self) -> list[str]:
        """No names: runs may be anywhere."""
        return []

    def get(self, name: str) -> Callable[..., Network]:
        """The factory for a run's network. Raises UserError when there is no run, or it was not trained to its end."""
        run = Run.open(Path(name))
        card = run.require_trained()

        def network(channels: int, classes: int, size: tuple[int, int], labels: tuple[str, ...]) -> Network:
            """The run's network with its normalisation, and with its head where the classes are the same."""
            seen = len(card["mean"])
            if seen == 1 < channels:
                raise UserError(f"run:{name}: was trained on grey images, but these are RGB: set data.channels=1")
            context = {"channels": seen, "classes": classes, "size": size, "labels": labels}
            built = Network.of(models.build(card["model"], **context))
            tensors = {
                key.removeprefix("network."): tensor
                for key, tensor in unpack(run.read_weights(), run.weights).items()
                if key.startswith("network.")
            }
            if kept := card.get("neighbours"):  # a head without weights: the new one starts untrained
                tensors = {key: each for key, each in tensors.items() if not key.startswith(f"{kept['head']}.")}
            same = "neighbours" not in card and (not labels or list(labels) == card["classes"])
            put(tensors, built, card["model"], run.weights, with_head=same)
            return replace(
                built,
                normalisation=(torch.tensor(card["mean"]), torch.tensor(card["std"])),
                architecture=card["model"],
                origin=origin(run.path, card["sha256"]),
                initialise=None,  # trained weights are not initialised from the images
            )

        return network
