"""A linear probe on a frozen network: its accuracy, the cost of a second head, and features compared with images.

    python benchmarks/probe.py path/to/squeezenet1_1.safetensors data.source=path/to/cifar10 --inputs 96 160

For each input size: the probe is solved for without cached features, its penalty chosen on val, and test is looked at
once. Then a separate command trains a head by AdamW on the same features: the seconds from its start to its first step
and to the end of its first epoch, imports included. Then, in turns in one process, steps of that training on features
and through the network: images per second of both, and their ratio. Prints everything and writes it to
``benchmarks/results/``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import keep

import thirtytwo
from thirtytwo import recipes
from thirtytwo.recipe import Recipe, parse_assignments
from thirtytwo.runs.loading import load_splits
from thirtytwo.spec import Spec
from thirtytwo.training.build import Parts, with_features
from thirtytwo.training.loop import advance
from thirtytwo.training.session import prepare

STEPS, BATCHES = 3, 50
"""Steps through the network, and for each of them steps on features, between two readings of the clock."""
ROUNDS = 3


def images_per_second(parts: Parts, steps: int, first: int) -> float:
    """The rate over the training steps ``first`` to ``first + steps``."""
    forward = parts.forward
    began = time.perf_counter()
    for step in range(first, first + steps):
        advance(parts, forward, step, 1.0)
    return steps * parts.feed.batch_size / (time.perf_counter() - began)


def seconds_to_first(recipe: Recipe, folder: Path) -> dict[str, float]:
    """From the start of a command that trains a head for one epoch to its first step, and to the end of that epoch."""
    file = folder / "head.toml"
    file.write_text(recipe.to_toml(), encoding="utf-8")
    words = ["train", str(file), "train.epochs=1", "--no-test", "--out", str(folder)]
    command = [sys.executable, "-c", "from thirtytwo.cli import main; main()", *words]
    began = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    run, found = folder / f"{recipe.name}-1", {}
    while len(found) < 2:
        time.sleep(0.02)
        if process.poll():
            raise SystemExit("the head's training failed")
        status, metrics = run / "status.json", run / "metrics.jsonl"
        if "step" not in found and status.exists() and "steps" in json.loads(status.read_text(encoding="utf-8")):
            found["step"] = time.time() - began
        if metrics.exists() and metrics.stat().st_size:
            found["epoch"] = metrics.stat().st_mtime - began
    process.wait()
    return found


def measured(recipe: Recipe) -> dict[str, Any]:
    """Everything that is measured for one network at one size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        probe = thirtytwo.train(recipe.override({"train.solver": "lbfgs"}), out=folder / "probe", progress=False)
        found: dict[str, Any] = {"probe seconds": time.perf_counter() - began}
        for split in ("val", "test"):
            score = probe.scores(split)["accuracy"]
            found[f"{split} accuracy"] = [score.value, score.low, score.high]
        found["penalty"] = probe.card["solved"]["strength"]
        seconds = seconds_to_first(recipe, folder)
        found["a second head's first step begins after"] = seconds["step"]
        found["a second head's first epoch ends after"] = seconds["epoch"]
    parts = prepare(recipe)
    on_features = with_features(parts)
    rates = []
    with parts.device.training():
        images_per_second(parts, 1, 0)
        images_per_second(on_features, 1, 0)
        for turn in range(ROUNDS):
            features = images_per_second(on_features, STEPS * BATCHES, turn * STEPS * BATCHES)
            rates.append((features, images_per_second(parts, STEPS, turn * STEPS)))
    found["images a second, features and network"] = rates
    found["ratios"] = [features / images for features, images in rates]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument(
        "--model", default="torchvision/squeezenet1_1(last_relu='identity')", help="without its weights"
    )
    parser.add_argument("--inputs", type=int, nargs="+", default=[96, 160])
    options = parser.parse_intermixed_args()
    fixed = {
        "train.freeze": "all-but-head",
        "augment": "none",
        "train.label_smoothing": 0,
        "train.batch_size": 256,
        "optim.lr": 0.001,
        "evaluate.views": "none",
    }
    recipe = recipes.find("cifar10-finetune-squeezenet").override({**fixed, **parse_assignments(options.overrides)})
    spec, found = Spec.parse(options.model), {}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["THIRTYTWO_CACHE"] = cache
        load_splits(recipe)  # decoded once, before the clock starts
        for side in options.inputs:
            known = {**spec.kwargs, "weights": options.weights, "input": side}
            found[side] = measured(recipe.override({"model": str(Spec(spec.name, spec.args, known))}))
            print(side, json.dumps(found[side], indent=1), flush=True)
    keep("probe", {"model": options.model, "inputs": found})


if __name__ == "__main__":
    main()
