"""The scripts on which a day of measuring depends are rehearsed on a few digits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def rehearse(script, results):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", BENCHMARKS / script, "--rehearse"],
        env={**os.environ, "PATH": path, "RESULTS": str(results)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {
        each.name.rsplit("-", 3)[0]: json.loads(each.read_text())
        for each in results.glob("*-*.json")
        if "bench-cpu" not in each.name
    }


@pytest.mark.timeout(300)
def test_every_command_for_a_gpu_is_right(tmp_path):
    found = rehearse("gpu.sh", tmp_path)
    assert {*found} == {"airbench-cifar10-94", *(f"cifar10-{name}" for name in ("94", "resnet18", "95", "96"))}
    assert all(each["summary"] for each in found.values())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_of_the_bench_is_right_and_its_table_holds_what_was_measured(tmp_path):
    found = rehearse("bench.sh", tmp_path)
    assert {*found} == {"plain-loop", "frameworks", "augmentations", "start", "growth"}
    (table,) = tmp_path.glob("bench-*.md")
    text = table.read_text()
    rows = [line.split("|")[1:4] for line in text.splitlines()]
    for name, pair in found["augmentations"]["augmentations"].items():
        for side, times in pair["ratios"].items():
            assert [f" `{name}`, images per second ", f" {side} ", f" {times['mean']:.2f} "] in rows
    assert "| airbench-cifar10-fast | not measured |" in text
