"""One seed, many independent generators, no state.

Every draw of a training derives from ``(seed, purpose, epoch or step)``, so that step 391 draws the same numbers
whether the run got there in one go or was resumed at step 390.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, purpose: str, *at: int) -> int:
    """A 63-bit seed for one purpose at one moment (BLAKE2b of the whole tuple)."""
    text = "/".join([str(seed), purpose, *map(str, at)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, purpose: str, *at: int, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A torch generator on ``device`` for one purpose at one moment."""
    import torch  # here, so that what only reads a run (`thirtytwo report`) starts without it

    return torch.Generator(device).manual_seed(derive(seed, purpose, *at))


def numpy_generator(seed: int, purpose: str, *at: int) -> np.random.Generator:
    """A NumPy generator for one purpose at one moment."""
    return np.random.default_rng(derive(seed, purpose, *at))
