"""Does a small network learn more with a teacher than alone? The same training without and with one, compared.

    python benchmarks/distillation.py cifar10-fast data.source=path/to/cifar10 --seeds 3

Trains a teacher by the recipe, unless ``--teacher`` names a finished run of the same split, then the student with each
seed by the same recipe: alone, and distilled with `train.temperature` and `train.teacher_weight`. Both have the same
images, epochs and seed, so the differences are paired; ``--epochs`` and ``--limit`` apply to the students and not to
the teacher. They are compared on val; `cifar10-fast` leaves only 1,000 images there, so once everything is chosen,
``--split test`` looks at test, once per run. Prints means with their 95 % interval over seeds (t) and writes
every single result to ``benchmarks/results/``.
"""

import argparse
import json
import tempfile
from functools import partial
from typing import Any

from record import keep, summary

import thirtytwo
from thirtytwo import recipes
from thirtytwo.api.verbs import TrainedRun
from thirtytwo.models.classifier import build_network
from thirtytwo.recipe import parse_assignments

LARGEST = 0.25
"""Share of the teacher's parameters that the student may have at most."""


def scored(run: TrainedRun, split: str) -> dict[str, Any]:
    """The figures of a run that are compared."""
    scores = run.scores(split)
    found = {"accuracy": scores["accuracy"].value, "nll": scores["nll"].value}
    return {**found, "seconds": run.run.status["seconds"]}


def parameters(student: str, teacher: TrainedRun) -> int:
    """The number of parameters that the student will have, for the teacher's images and classes."""
    card = teacher.card
    network = build_network(student, card["channels"], len(card["classes"]), tuple(card["size"]))
    return sum(parameter.numel() for parameter in network.module.parameters())


def compared(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over seeds with their intervals, and those of the paired differences."""
    alone, distilled = ([run[arm]["accuracy"] for run in runs] for arm in ("alone", "distilled"))
    return {
        "alone": summary(alone),
        "distilled": summary(distilled),
        "difference": summary([after - before for before, after in zip(alone, distilled, strict=True)]),
        "time ratio": summary([run["distilled"]["seconds"] / run["alone"]["seconds"] for run in runs]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="a recipe (default: cifar10-fast), and overrides for all trainings")
    parser.add_argument("--student", default="speednet(widths=(24, 128, 128))", help="the small network")
    parser.add_argument("--teacher", metavar="RUN", help="a finished run; default: train one by the recipe")
    parser.add_argument("--epochs", type=float, help="the students'; default: the recipe's")
    parser.add_argument("--limit", type=int, help="the students' training images; default: all")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="where both are compared")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_intermixed_args()
    named = bool(options.words) and "=" not in options.words[0]
    name, *overrides = options.words if named else ["cifar10-fast", *options.words]
    recipe = recipes.find(name).override(parse_assignments(overrides))
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        train = partial(thirtytwo.train, out=folder, test=options.split == "test", progress=False)
        teacher = thirtytwo.open_run(options.teacher) if options.teacher else train(recipe, test=False)
        share = parameters(options.student, teacher) / teacher.card["parameters"]
        if share > LARGEST:
            parser.error(f"--student: has {share:.1%} of the teacher's parameters: at most {LARGEST:.0%}")
        print("teacher", json.dumps(scored(teacher, "val")), flush=True)
        alone = recipe.override(
            {
                "model": options.student,
                "train.epochs": options.epochs or recipe.train.epochs,
                "data.limit": options.limit or recipe.data.limit,
            }
        )
        distilled = alone.override({"train.teacher": f"run:{teacher.path.resolve()}"})
        for seed in range(options.seeds):
            runs.append({"seed": seed})
            for arm, each in (("alone", alone), ("distilled", distilled)):
                runs[-1][arm] = scored(train(each.override({"seed": seed})), options.split)
            print(json.dumps(runs[-1]), flush=True)
        found = {
            "recipe": distilled.model_dump(mode="json", exclude={"data": {"source"}, "train": {"teacher"}}),
            "teacher": {
                "recipe": teacher.run.recipe.model_dump(mode="json", exclude={"data": {"source"}}),
                "parameters": teacher.card["parameters"],
                "val": scored(teacher, "val"),
            },
            "split": options.split,
            "student share of parameters": share,
            "runs": runs,
            "summary": compared(runs),
        }
    for key, value in found["summary"].items():
        print(f"{key:<12} {value['mean']:+.4f}  [{value['low']:+.4f}, {value['high']:+.4f}]  n = {value['n']}")
    keep(f"distillation-{name}", found)


if __name__ == "__main__":
    main()
