"""The whole command, from the prompt to the report: the first time and again, with the memory that it takes.

    python benchmarks/start.py --cifar10 path/to/cifar10

The first time, images are decoded and kept; then they are read as they were kept. Each command is typed several times,
each pair with a new cache.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from processes import measured
from record import keep, ratio, summary
from step_rate import best_rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cifar10", help="a source of CIFAR-10, such as a path; default: the digits alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--step-rate", type=float, help="images per second of step_rate.py, if it was just measured")
    options = parser.parse_args()
    commands = {"digits": ["train"]}
    if options.cifar10:
        commands["cifar10-30s"] = ["train", "cifar10-30s", f"data.source={options.cifar10}"]
        commands["data info"] = ["data", "info", options.cifar10]
    found: dict[str, dict[str, list[dict[str, float]]]] = {name: {"first": [], "again": []} for name in commands}
    rate = options.step_rate or best_rate()["best"]
    for name, words in commands.items():
        for turn in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                out = ["--out", str(Path(folder) / "runs")] if words[0] == "train" else []
                command = [sys.executable, "-c", "from thirtytwo.cli import main; main()", *words, *out]
                for which, costs in found[name].items():
                    _, cost = measured(command, {"THIRTYTWO_CACHE": str(Path(folder) / "cache")})
                    costs.append(cost)
                    print(f"{name}, round {turn}, {which}: {json.dumps(cost)}", flush=True)
    table, ratios = {}, {}
    for name, times in found.items():
        seconds = {which: [each["seconds"] for each in costs] for which, costs in times.items()}
        table[name] = {which: summary(each) for which, each in seconds.items()}
        ratios[name] = ratio(seconds["first"], seconds["again"])
        for which, each in table[name].items():
            print(f"{name}, {which}: {each['mean']:.1f} s [{each['low']:.1f}, {each['high']:.1f}], n = {each['n']}")
    keep("start", {"step_rate": rate, "runs": found, "summary": table, "ratios": ratios})


if __name__ == "__main__":
    main()
