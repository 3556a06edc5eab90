"""Muon: momentum whose matrix is orthogonalised before each step (Jordan et al. 2024)."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Quintic iteration with the steepest slope at zero: singular values end up near 1, not at it, which is enough.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrices: Tensor, steps: int = 3) -> Tensor:
    """The nearest matrices with singular values near one, by Newton-Schulz iterations in bf16.

    Args:
        matrices: (..., M, N) of any float type.
        steps: iterations; three leave singular values between about 0.3 and 1.3.

    Returns:
        bf16 (..., M, N).
    """
    x: Tensor = matrices.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for convolution filters (C_out, C_in, kh, kw), each taken as a matrix (C_out, C_in kh kw).

    The weights are scaled to Frobenius norm sqrt(C_out) before each step, in place of weight decay. Filters of one
    shape are orthogonalised together: a GPU has as many products to start, each large enough to fill it.
    """

    def __init__(self, params: Any, lr: float, momentum: float, nesterov: bool = True, steps: int = 3) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "steps": steps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                updates = torch.stack([self._momentum(parameter, group).flatten(1) for parameter in parameters])
                directions = orthogonalise(updates, group["steps"]).to(updates.dtype).unflatten(2, shape[1:])
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
                    parameter.add_(direction, alpha=-group["lr"])

    def _momentum(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer: Tensor = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        return gradient.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
