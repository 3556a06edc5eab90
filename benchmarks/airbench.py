"""A recipe, alone or beside the speedruns' algorithms, one after the other on the same images, several times over.

    mkdir clones; cd clones
    git clone https://github.com/KellerJordan/cifar10-airbench
    git clone https://github.com/hiverge/cifar10-speedrun
    python benchmarks/airbench.py cifar10-fast --clones clones --rounds 2 data.source=path/to/cifar10

Prints the accuracy without and with 6 views and the seconds of training of each, and the ratio of the times. Seconds
are those of the steps, for both sides: without imports, data, evaluation and views. The peers' files are read where
they were cloned, and run as they are, except that on a processor bf16 autocast takes the place of half precision and
nothing is compiled (which is slower there). They train on all 50,000 images; a recipe keeps some of them for val.
"""

import argparse
import contextlib
import io
import json
import re
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from record import keep, ratio, shown, summary
from step_rate import best_rate

from thirtytwo import recipes
from thirtytwo.data.load import load
from thirtytwo.device import Device
from thirtytwo.recipe import Recipe, parse_assignments
from thirtytwo.training.session import Session

FILES = {
    "airbench94": "cifar10-airbench/legacy/airbench94.py",
    "airbench94_muon": "cifar10-airbench/airbench94_muon.py",
    "cifar10_speedrun": "cifar10-speedrun/cifar10_speedrun.py",
}
"""Kept by SGD, by Muon, and the record of 2.0 s."""
Result = dict[str, float]


def write_images(source: str, folder: Path) -> None:
    """The images as the peers' loaders cache them: ``cifar10/train.pt`` and ``test.pt``."""
    official = load(source)
    assert official.test is not None
    (folder / "cifar10").mkdir()
    for name, images in (("train", official.train), ("test", official.test)):
        kept = {"images": images.images.permute(0, 2, 3, 1).contiguous(), "labels": images.labels}
        torch.save({**kept, "classes": list(images.classes)}, folder / "cifar10" / f"{name}.pt")


def load_peer(file: Path, device: Device) -> types.ModuleType:
    """The peer's file as a module."""
    text = file.read_text(encoding="utf-8")
    if device.torch.type == "cpu":
        for theirs, ours in {
            ".half()": ".float()",
            ".cuda()": "",
            ".pin_memory()": "",
            "torch.device(gpu)": "'cpu'",
            '"cuda"': "'cpu'",
            "torch.half": "torch.float",
        }.items():
            text = text.replace(theirs, ours)
        text = re.sub(r"^ *@torch\.compile\b.*$", "", text, flags=re.MULTILINE)
    module = types.ModuleType(file.stem)
    with mock.patch.object(sys, "argv", [str(file)]):
        exec(compile(text, str(file), "exec"), module.__dict__)
    return module


class _Event:
    """What the peers time a GPU with, for a processor. Their own times are not used."""

    def __init__(self, enable_timing: bool) -> None: ...

    def record(self) -> None: ...

    def elapsed_time(self, other: "_Event") -> float:
        return 0.0


def train_peer(module: types.ModuleType, device: Device) -> Result:
    """One training by the peer."""
    scores: dict[int, float] = {}
    spent = 0.0
    evaluate: Callable[..., float] = module.evaluate

    def timed(model: Any, loader: Any, tta_level: int = 0) -> float:
        nonlocal spent
        device.wait()
        began = time.perf_counter()
        found = evaluate(model, loader, tta_level)
        device.wait()
        spent += time.perf_counter() - began
        if not loader.shuffle:  # the test images
            scores[tta_level] = 100 * found
        return found

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(module, "evaluate", timed))
        if device.torch.type == "cpu":
            stack.enter_context(mock.patch("torch.cuda.Event", _Event))
            stack.enter_context(mock.patch("torch.cuda.synchronize", lambda: None))
            stack.enter_context(device.autocast())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        model = [module.CifarNet().to(device.torch, memory_format=torch.channels_last)] if _takes_model(module) else []
        if model and device.torch.type == "cuda":
            model[0].compile(mode="max-autotune")
            module.main("warmup", *model)
            spent = 0.0
        device.wait()
        began = time.perf_counter()
        module.main(0, *model)
        device.wait()
        seconds = time.perf_counter() - began - spent
    return {"plain": scores[0], "views": scores[2], "seconds": seconds}


def _takes_model(module: types.ModuleType) -> bool:
    return hasattr(module, "CifarNet")


def train_ours(recipe: Recipe, out: Path, device: str) -> Result:
    """One training by a recipe. Val is scored after the last step alone, as the peers' times leave scoring out, too."""
    recipe = recipe.override({"train.eval_every": recipe.train.epochs})
    session = Session.new(recipe, out=out, device=device)
    session.complete()
    right = {each["views"]: 100 * each["right"] / each["n"] for each in session.run.scores() if each["split"] == "test"}
    return {"plain": right[1], "views": right[6], "seconds": session.run.status["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--clones", type=Path, help="the folder with clones of the others; default: the recipe alone")
    parser.add_argument("--beside", nargs="+", choices=FILES, default=list(FILES), help="which of the others")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--step-rate", type=float, help="images per second of step_rate.py, if it was just measured")
    options = parser.parse_intermixed_args()
    recipe = recipes.find(options.recipe).override(parse_assignments(options.overrides))
    device = Device.choose(options.device)
    files = {name: options.clones / FILES[name] for name in options.beside} if options.clones else {}
    for name in [name for name, file in files.items() if not file.exists()]:
        print(f"{files.pop(name)} does not exist: left out")
    found: dict[str, list[Result]] = {name: [] for name in (options.recipe, *files)}
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        if files:
            write_images(recipe.data.source, Path(folder))
        peers = {name: load_peer(file, device) for name, file in files.items()}
        with contextlib.chdir(folder), device.training():
            for round_ in range(options.rounds):
                rates.append(options.step_rate or best_rate()["best"])
                for name in found:
                    torch.manual_seed(round_)
                    if name in peers:
                        result = train_peer(peers[name], device)
                    else:
                        result = train_ours(recipe.override({"seed": round_}), Path(folder), options.device)
                    found[name].append(result)
                    print(name, json.dumps(result), flush=True)
    table = {name: {key: summary([each[key] for each in runs]) for key in runs[0]} for name, runs in found.items()}
    seconds = {name: [each["seconds"] for each in runs] for name, runs in found.items()}
    ratios = {name: ratio(seconds[name], seconds[options.recipe]) for name in files}
    for name, times in ratios.items():
        print(f"{name} takes {shown(times)} times as long as {options.recipe}")
    keep(f"airbench-{options.recipe}", {"step_rate": rates, "runs": found, "summary": table, "ratios": ratios})


if __name__ == "__main__":
    main()
