"""Where a feed's images are: all on the device, or in the computer's memory and on disk, streamed a batch ahead."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

ROOM = 0.5
"""The share of a GPU's free memory that the images may take. The rest is for the network and its activations."""

Fetch = Callable[[int, Tensor], Tensor]
"""A step, from 0 up, and its images' places, int64 (B,) on the device -> its batch, uint8 (B, C, H, W), there."""
Order = Callable[[int], Tensor]
"""A step -> its images' places, int64 (B,), in the computer's memory: no device is asked, and so none is waited for."""


def fetching(images: Tensor, order: Order, device: torch.device) -> Fetch:
    """The fastest way to the batches of ``images``, uint8 (N, C, H, W), that ``device`` has room for."""
    if device.type != "cuda" or images.nbytes < ROOM * torch.cuda.mem_get_info(device)[0]:
        return Resident(images, device)
    return Streamed(images, order, device)


class Resident:
    """All images on the device: a batch is one gather there."""

    def __init__(self, images: Tensor, device: torch.device) -> None:
        self.images = images.to(device)

    def __call__(self, step: int, places: Tensor) -> Tensor:
        """The images of ``places``."""
        return self.images[places]


class Streamed:
    """Images that stay where they are, in memory or mapped from a file.

    While the device computes a step, a thread gathers the next one's batch into one of two buffers, from which it is
    copied without the device waiting. No other process is needed: gathering rows of bytes is one copy.
    """

    def __init__(self, images: Tensor, order: Order, device: torch.device) -> None:
        self.images, self.order, self.device = images, order, device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._buffers: list[Tensor] = []
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._next: tuple[int, Future[Tensor]] | None = None

    def __call__(self, step: int, places: Tensor) -> Tensor:
        """The batch of ``step``, which is quickest when it is the one after the last."""
        ahead = self._next if self._next is not None and self._next[0] == step else (step, self._begin(step))
        gathered = ahead[1].result()
        batch = gathered.to(self.device, non_blocking=True)
        if self.device.type == "cuda":
            event = torch.cuda.Event()
            event.record()
            self._copied[step % 2] = event
        elif batch is gathered:
            batch = gathered.clone()
        self._next = step + 1, self._begin(step + 1)
        return batch

    def _begin(self, step: int) -> "Future[Tensor]":
        return self._thread.submit(self._gather, step, self.order(step))

    def _gather(self, step: int, places: Tensor) -> Tensor:
        if not self._buffers:
            shape = len(places), *self.images.shape[1:]
            pin = self.device.type == "cuda"
            self._buffers = [torch.empty(shape, dtype=torch.uint8, pin_memory=pin) for _ in range(2)]
        if (copied := self._copied[step % 2]) is not None:
            copied.synchronize()
        return torch.index_select(self.images, 0, places, out=self._buffers[step % 2])
