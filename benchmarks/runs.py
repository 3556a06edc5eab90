"""Save the results of finished runs: their recipes, scores with intervals, seconds, and every epoch's metrics.

    python benchmarks/runs.py finetune-squeezenet pretrained=runs/a-1 random=runs/a-2

Trains and scores nothing. Writes ``results/<name>-<date>.json``.
"""

import argparse
import re
from typing import Any

from record import keep

from thirtytwo.cli.scores import stored_scores
from thirtytwo.runs.run import Run


def kept(run: Run) -> dict[str, Any]:
    """What is saved of one run, without the paths of its data and its first weights."""
    recipe = run.recipe.override({"model": re.sub(r"weights='[^']*/", "weights='", run.recipe.model)})
    return {
        "recipe": recipe.model_dump(mode="json", exclude={"data": {"source"}}),
        "seconds": run.status["seconds"],
        "threads": run.env.get("threads"),
        "scores": {
            column: {score: [each.value, each.low, each.high, each.n] for score, each in scores.items()}
            for column, scores in stored_scores(run).items()
        },
        "metrics": run.metrics(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", help="what the file is called")
    parser.add_argument("runs", nargs="+", metavar="WHAT=RUN")
    options = parser.parse_args()
    runs = dict(word.split("=", 1) for word in options.runs)
    keep(options.name, {"runs": {what: kept(Run.open(path)) for what, path in runs.items()}})


if __name__ == "__main__":
    main()
