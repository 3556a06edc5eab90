"""Train a recipe with several seeds, each in a process of its own, and record accuracy, time and memory.

    python benchmarks/recipes.py cifar10-fast --seeds 2 data.source=path/to/cifar10

The time is that of the whole command, from its start to the finished report. Prints means with their 95 % interval over
seeds (t) and writes every single result to ``benchmarks/results/``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import keep, summary


def train(words: list[str], seed: int, out: Path, device: str) -> dict[str, float]:
    """One training, started as a user starts it."""
    command = [sys.executable, "-c", "from thirtytwo.cli import main; main()", "train", *words, f"seed={seed}"]
    options = ["--json", "--out", str(out), "--device", device]
    began = time.perf_counter()
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    result = {"seed": seed, "seconds": round(seconds, 1), "training_seconds": round(found["status"]["seconds"], 1)}
    result["peak_MB"] = round(usage.ru_maxrss / 1024)
    for name, scores in found["scores"].items():
        result[f"{name} accuracy"] = scores["accuracy"]["value"]
    return result


def step_rate() -> dict[str, float]:
    """That of `step_rate.py`, by precision.

    In a process of its own: on Linux a child's peak memory includes its parent's at the moment of the fork.
    """
    command = [sys.executable, str(Path(__file__).parent / "step_rate.py")]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--step-rate", type=float, help="images per second of step_rate.py, if it was just measured")
    options = parser.parse_intermixed_args()
    words = [options.recipe, *options.overrides]
    rate = {"best": options.step_rate} if options.step_rate else step_rate()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            runs.append(train(words, seed, Path(folder), options.device))
            print(json.dumps(runs[-1]), flush=True)
    columns = [key for key in runs[0] if key != "seed"]
    found = {
        "command": f"thirtytwo train {options.recipe}",
        "overrides": [word for word in options.overrides if not word.startswith("data.source")],
        "step_rate": rate,
        "runs": runs,
        "summary": {key: summary([run[key] for run in runs]) for key in columns},
    }
    for key, value in found["summary"].items():
        print(f"{key:<28} {value['mean']:.4f}  [{value['low']:.4f}, {value['high']:.4f}]  n = {value['n']}")
    print(f"step rate {rate['best']:.0f} img/s")
    keep(options.recipe, found)


if __name__ == "__main__":
    main()
