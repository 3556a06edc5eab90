"""The machine's speed: images per second of airbench94's training step, batch 500, in plain PyTorch.

Times of other trainings are quoted beside this rate, so that they can be compared between machines and hours.
"""

import json
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

BATCH, STEPS = 500, 4


def airbench94() -> nn.Module:
    """The network's layers (arXiv 2404.00498), without its initialisation, which does not change the speed."""

    def conv(inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)

    def group(inputs: int, outputs: int) -> list[nn.Module]:
        norms = [nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4) for _ in range(2)]
        return [
            conv(inputs, outputs),
            nn.MaxPool2d(2),
            norms[0],
            nn.GELU(),
            conv(outputs, outputs),
            norms[1],
            nn.GELU(),
        ]

    whitening = nn.Conv2d(3, 24, 2)
    whitening.weight.requires_grad_(False)
    groups = [*group(24, 64), *group(64, 256), *group(256, 256)]
    return nn.Sequential(whitening, nn.GELU(), *groups, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False))


def rate(device: str, dtype: torch.dtype) -> float:
    """Images per second over `STEPS` steps, after two that are not counted."""
    network = airbench94().to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        [p for p in network.parameters() if p.requires_grad], lr=0.01, momentum=0.85, nesterov=True
    )
    images = torch.randn(BATCH, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (BATCH,), device=device)
    began = 0.0
    for step in range(STEPS + 2):
        if step == 2:
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = cross_entropy(network(images), labels, label_smoothing=0.2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if device == "cuda":
        torch.cuda.synchronize()
    return BATCH * STEPS / (time.perf_counter() - began)


def best_rate() -> dict[str, float]:
    """The rate of each precision, as a median of three measured in turn, and the best of them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rates: dict[str, list[float]] = {"bf16": [], "float32": []}
    for _ in range(3):
        rates["bf16"].append(rate(device, torch.bfloat16))
        rates["float32"].append(rate(device, torch.float32))
    medians = {name: sorted(values)[1] for name, values in rates.items()}
    return {**medians, "best": max(medians.values())}


if __name__ == "__main__":
    print(json.dumps({name: round(value) for name, value in best_rate().items()}))
