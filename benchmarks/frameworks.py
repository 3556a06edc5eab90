"""A folder of pictures through thirtytwo, timm's train.py and fastai's Learner: seconds, memory and accuracy of each.

    git clone https://github.com/huggingface/pytorch-image-models
    python benchmarks/frameworks.py path/to/cifar10 --timm pytorch-image-models/train.py

All train timm's ResNet-18 from random weights on the same pictures of 64 pixels, with the same batch and epochs, each
with its own usual augmentation and optimizer. What is counted is the whole command: from its start to its end, with the
memory of all of its processes. They take turns. fastai and timm are in `peers.txt`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from processes import measured
from record import in_turns, keep, ratio, shown, summary
from step_rate import best_rate
from torchvision.transforms import v2

from thirtytwo.data.imageset import ImageSet
from thirtytwo.data.load import load

SIZE = 64

FASTAI = """
import json, sys
import timm
from fastai.vision.all import ImageDataLoaders, Learner, Resize, accuracy, aug_transforms
folder, epochs, batch, size = sys.argv[1], *map(int, sys.argv[2:])
loaders = ImageDataLoaders.from_folder(
    folder, train="train", valid="val", bs=batch, num_workers=2, item_tfms=Resize(size), batch_tfms=aug_transforms()
)
learner = Learner(loaders, timm.create_model("resnet18", num_classes=loaders.c), metrics=accuracy)
learner.fit_one_cycle(epochs, 3e-3)
print(json.dumps(learner.validate()[1]))
"""


def ours(folder: Path, out: Path, epochs: int, batch: int) -> tuple[list[str], Callable[[str], float]]:
    """The command, and how its accuracy on val is found in what it printed."""
    settings = {
        "data.source": folder,
        "data.size": SIZE,
        "model": "timm/resnet18",
        "augment": "flip|translate(8)",
        "optim.lr": 3e-3,
        "optim.layer_decay": 1,  # its weights are random
        "train.epochs": epochs,
        "train.batch_size": batch,
    }
    words = ["train", "finetune", *(f"{key}={value}" for key, value in settings.items()), "--json", "--out", str(out)]
    command = [sys.executable, "-c", "from thirtytwo.cli import main; main()", *words]
    return command, lambda printed: 100 * float(json.loads(printed)["scores"]["val"]["accuracy"]["value"])


def fastai(folder: Path, out: Path, epochs: int, batch: int) -> tuple[list[str], Callable[[str], float]]:
    """Likewise."""
    command = [sys.executable, "-c", FASTAI, str(folder), str(epochs), str(batch), str(SIZE)]
    return command, lambda printed: 100 * float(json.loads(printed.splitlines()[-1]))


def timm(script: Path, folder: Path, out: Path, epochs: int, batch: int) -> tuple[list[str], Callable[[str], float]]:
    """Likewise, in bf16, which its option for a processor needs."""
    options = {
        "val-split": "val",
        "model": "resnet18",
        "num-classes": 10,
        "img-size": SIZE,
        "epochs": epochs,
        "batch-size": batch,
        "sched": "cosine",
        "warmup-epochs": 0,
        "cooldown-epochs": 0,
        "opt": "adamw",
        "lr": 3e-3,
        "workers": 2,
        "device": "cpu",
        "amp-dtype": "bfloat16",
        "output": out,
        "experiment": "run",
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, str(script), str(folder), *words, "--amp", "--channels-last"]

    def accuracy(printed: str) -> float:
        rows = (out / "run" / "summary.csv").read_text(encoding="utf-8").splitlines()
        return float(rows[-1].split(",")[rows[0].split(",").index("eval_top1")])

    return command, accuracy


def write_pictures(images: ImageSet, folder: Path) -> None:
    """``folder/CLASS/00000.png``."""
    for number, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
        path = folder / images.classes[int(label)] / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        v2.functional.to_pil_image(pixels).convert("RGB").save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="a source of CIFAR-10, such as a path")
    parser.add_argument(
        "--timm", type=Path, help="train.py in a clone of huggingface/pytorch-image-models; default: without it"
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step-rate", type=float, help="images per second of step_rate.py, if it was just measured")
    options = parser.parse_args()
    sides: dict[str, Callable[..., tuple[list[str], Callable[[str], float]]]] = {"thirtytwo": ours}
    if find_spec("fastai"):
        sides["fastai"] = fastai
    else:
        print("fastai is not installed, and left out")
    if options.timm:
        sides["timm"] = lambda *words: timm(options.timm.resolve(), *words)
    rate = options.step_rate or best_rate()["best"]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept) / "pictures"
        images = load(options.source).train
        numbers = torch.arange(len(images))
        write_pictures(images.select(numbers[: options.images]), folder / "train")
        write_pictures(images.select(numbers[options.images :][: options.images // 5]), folder / "val")
        for count, name in enumerate(in_turns(sides, options.rounds)):
            command, accuracy = sides[name](folder, Path(kept) / str(count), options.epochs, options.batch)
            printed, cost = measured(command)
            found[name].append({**cost, "accuracy": accuracy(printed)})
            print(name, json.dumps(found[name][-1]), flush=True)
    table = {name: {key: summary([each[key] for each in runs]) for key in runs[0]} for name, runs in found.items()}
    seconds = {name: [each["seconds"] for each in runs] for name, runs in found.items()}
    ratios = {name: ratio(seconds[name], seconds["thirtytwo"]) for name in list(sides)[1:]}
    for name, times in ratios.items():
        print(f"{name} takes {shown(times)} times as long as thirtytwo")
    settings: dict[str, Any] = {key: getattr(options, key) for key in ("images", "epochs", "batch")}
    keep("frameworks", {"step_rate": rate, **settings, "runs": found, "summary": table, "ratios": ratios})


if __name__ == "__main__":
    main()
