"""How long `thirtytwo data info` takes for many small pictures: the first time, decoding them, and the times after.

    python benchmarks/many_pictures.py --pictures 145600 --times 5

Prints seconds: the first once, the later ones as median and range, and beside them Python's own import of torch.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def build(root: Path, pictures: int) -> None:
    """``pictures`` grey PNG of 28 x 28 pixels in 47 class folders, as EMNIST has."""
    draw = np.random.default_rng(0)
    for label in range(47):
        (root / str(label)).mkdir(parents=True)
    for i in range(pictures):
        pixels = draw.integers(0, 256, (28, 28)).astype(np.uint8)
        Image.fromarray(pixels).save(root / str(i % 47) / f"{i:06}.png", compress_level=1)


def seconds(*command: str, cache: Path) -> float:
    """Wall seconds from start to end of a process."""
    start = time.perf_counter()
    environment = {**os.environ, "THIRTYTWO_CACHE": str(cache)}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=145_600)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "set", Path(folder) / "cache"
        build(root, options.pictures)
        info = (sys.executable, "-m", "thirtytwo", "data", "info", str(root))
        print(f"first: {seconds(*info, cache=cache):.1f} s")
        for what, command in (("later", info), ("import torch", (sys.executable, "-c", "import torch"))):
            taken = [seconds(*command, cache=cache) for _ in range(options.times)]
            print(f"{what}: {statistics.median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f}, n = {len(taken)})")


if __name__ == "__main__":
    main()
