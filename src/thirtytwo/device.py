"""Where and how a training computes: device, precision, threads. Chosen once, printed, stored in the run."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from thirtytwo.errors import UserError

_MALLOC_TRIM_THRESHOLD, _MALLOC_MMAP_MAX = -1, -4  # glibc's mallopt parameters
_MMAP_MAX, _TRIM_THRESHOLD = 65536, 128 * 1024  # and their defaults


@dataclass(frozen=True)
class Device:
    """A torch device with the precision of its forward passes.

    Attributes:
        torch: the torch device.
        precision: "bf16" (autocast, weights stay float32) or "float32".

    >>> from thirtytwo import Device
    >>> Device.choose("cpu", "float32")
    Device(torch=device(type='cpu'), precision='float32')
    """

    torch: torch.device
    precision: str

    @classmethod
    def choose(cls, name: str = "auto", precision: str = "auto") -> "Device":
        """``auto`` is the first GPU, else the processor; and bf16 if the hardware computes in it.

        Raises UserError if ``name`` is not a device of this machine.
        """
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            device = torch.device(name)
            if device.type not in ("cpu", "cuda", "mps", "xpu"):
                raise RuntimeError
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError, NotImplementedError):
            there = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu"
            raise UserError(f"device '{name}' is not available on this machine: use {there}") from None
        if precision == "auto":
            precision = "bf16" if _computes_in_bf16(device) else "float32"
        return cls(device, precision)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        return torch.autocast(self.torch.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def wait(self) -> None:
        """Until a GPU has done what it was asked to, so that it can be timed; a processor has at once."""
        if self.torch.type == "cuda":
            torch.cuda.synchronize(self.torch)

    @contextmanager
    def training(self, *, search: bool = True) -> Iterator[None]:
        """Set this process up for training steps.

        On a GPU, cuDNN tries its algorithms and keeps the fastest; without ``search`` it does not, so that another
        process gets the same bits. On a processor under glibc, freed memory is kept for the next step instead of being
        returned to the kernel, until the end of this context.

        A training step frees and allocates the same few hundred megabytes again; each large tensor would be mapped,
        zeroed page by page and unmapped, which took 15 to 25 % of airbench94's step (2 cores, batch 500, bf16). What
        was freed before is returned first.
        """
        if self.torch.type == "cuda":
            torch.backends.cudnn.benchmark = search
        if self.torch.type != "cpu" or sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
            yield
            return
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        libc.mallopt(_MALLOC_MMAP_MAX, 0)
        libc.mallopt(_MALLOC_TRIM_THRESHOLD, 2**31 - 1)
        try:
            yield
        finally:
            libc.mallopt(_MALLOC_MMAP_MAX, _MMAP_MAX)
            libc.mallopt(_MALLOC_TRIM_THRESHOLD, _TRIM_THRESHOLD)
            libc.malloc_trim(0)

    def describe(self) -> dict[str, Any]:
        """What determines the bits and the speed of a training here, for the run's env.json."""
        index = self.torch.index or 0
        return {
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "torchvision", "numpy", "pillow")},
            "platform": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name(index) if self.torch.type == "cuda" else self.torch.type,
            "precision": self.precision,
            **(
                {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
                if self.torch.type == "cuda"
                else {}
            ),
        }


def processor_name() -> str:
    """The processor's model name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("amx_tile") or able.get("avx512_bf16"))
    return False
