"""What the options for small images are worth to networks made for 224 pixels: one study each, from random weights.

    python benchmarks/small_images.py data.source=path/to/cifar10 --seeds 3

Every network trains on 5,000 images by the same recipe, once as it is and once with each option, and is scored on val.
Never looks at test. Prints means and paired differences with their 95 % intervals over seeds (t) and writes every
single result to ``benchmarks/results/``.
"""

import argparse
import tempfile
from typing import Any

from record import keep, summary

import thirtytwo
from thirtytwo.recipe import parse_assignments
from thirtytwo.study.definition import Study

NETWORKS = {
    "mobilenet_v3_small": ["stem='small'", "input=96"],
    "vgg19": ["last_pool='identity'"],
    "resnet18": ["stem='small'", "input=64"],
    "resnet50": ["stem='small'", "input=64"],
}
RECIPE = {
    "data.limit": 5000,
    "data.val": 2000,
    "augment": "flip|translate(4)",
    "schedule": "cosine(warmup=0.1)",
    "optim.name": "adamw",
    "optim.lr": 5e-4,
    "optim.weight_decay": 0.02,
    "train.epochs": 6,
    "train.eval_every": 6,
    "train.batch_size": 64,
    "train.label_smoothing": 0.1,
    "evaluate.views": "none",
}


def study(network: str, recipe: dict[str, Any], seeds: int) -> Study:
    """The study of a network without options, and with each of them."""
    arms = {option or "none": {"model": f"torchvision/{network}({option})"} for option in ["", *NETWORKS[network]]}
    names = {arm: arm.replace("'", "").replace("=", "-") for arm in arms}
    return Study(
        name=f"small-{network.replace('_', '-')}",
        base="cifar10-resnet18",
        seeds=list(range(seeds)),
        set=recipe,
        arms={names[arm]: values for arm, values in arms.items()},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("overrides", nargs="*", help="KEY=VALUE for all trainings")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int)
    options = parser.parse_intermixed_args()
    recipe = RECIPE | parse_assignments(options.overrides)
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            wanted = study(network, recipe, options.seeds)
            result = thirtytwo.run_study(wanted, out=folder, jobs=options.jobs, progress=False)
            scores = {row.name: [*row.accuracies.values()] for row in result.table()}
            seconds = {
                arm: [result.run(arm, seed).run.status["seconds"] for seed in wanted.seeds] for arm in wanted.arms
            }
        plain = scores["none"]
        arms = {
            arm: {
                "accuracies": values,
                "accuracy": summary(values),
                "difference": summary([one - other for one, other in zip(values, plain, strict=True)]),
                "seconds": summary(seconds[arm]),
            }
            for arm, values in scores.items()
        }
        for arm, row in arms.items():
            mean, gain = row["accuracy"], row["difference"]
            half, more = mean["high"] - mean["mean"], gain["high"] - gain["mean"]
            print(
                f"{network:<20} {arm:<20} {mean['mean']:.4f} ± {half:.4f}   {gain['mean']:+.4f} ± {more:.4f}",
                f"  {row['seconds']['mean']:.0f} s   n = {mean['n']}",
                flush=True,
            )
        settings = {key: value for key, value in recipe.items() if key != "data.source"}
        keep(f"small-images-{network}", {"recipe": settings, "arms": arms})


if __name__ == "__main__":
    main()
