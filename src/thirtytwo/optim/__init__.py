"""Optimizers, learning rate schedules and weight averages, each by name.

Register your own with ``@optimizers.register``, ``@schedules.register`` or ``@averages.register``.
"""

from typing import TYPE_CHECKING

from thirtytwo.registry import Registry

if TYPE_CHECKING:
    import torch

    from thirtytwo.optim.averaging import Average
    from thirtytwo.optim.schedule import Schedule

optimizers: "Registry[list[torch.optim.Optimizer]]" = Registry(
    "optimizer",
    package="thirtytwo.optim",
    context=("groups", "lr", "momentum", "nesterov", "betas"),
)
schedules: "Registry[Schedule]" = Registry("schedule", package="thirtytwo.optim")
averages: "Registry[Average]" = Registry("average", package="thirtytwo.optim", context=("network",))

__all__ = ["averages", "optimizers", "schedules"]
