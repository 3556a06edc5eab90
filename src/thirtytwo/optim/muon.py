"""Muon: momentum whose matrix is orthogonalised before each step (Jordan et al. 2024)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Quintic iteration with the steepest slope at zero: singular values end up near 1, not at it, which is enough.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """The nearest matrix with singular values near one, by Newton-Schulz iterations in bf16.

    Args:
        matrix: (M, N) of any float type.
        steps: iterations; three leave singular values between about 0.3 and 1.3.

    Returns:
        bf16 (M, N).
    """
    x: Tensor = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for convolution filters (C_out, C_in, kh, kw), each taken as a matrix (C_out, C_in kh kw).

    The weights are scaled to Frobenius norm sqrt(C_out) before each step, in place of weight decay.
    """

    def __init__(self, params: Any, lr: float, momentum: float, nesterov: bool = True, steps: int = 3) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "steps": steps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(gradient)
                buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
                update = gradient.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
                parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
                direction = orthogonalise(update.reshape(len(update), -1), group["steps"])
                parameter.add_(direction.view(update.shape), alpha=-group["lr"])
