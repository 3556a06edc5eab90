"""benchmarks/gpu.sh, on which a day with a GPU depends, is rehearsed on the processor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.sh"


@pytest.mark.timeout(300)
def test_every_command_for_a_gpu_is_right(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", SCRIPT, "--rehearse"],
        env={**os.environ, "PATH": path, "RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = {
        each.name.rsplit("-", 3)[0]: json.loads(each.read_text())
        for each in tmp_path.glob("*-*.json")
        if "bench-cpu" not in each.name
    }
    assert {*found} == {"airbench-cifar10-94", *(f"cifar10-{name}" for name in ("94", "resnet18", "95", "96"))}
    assert all(each["summary"] for each in found.values())
