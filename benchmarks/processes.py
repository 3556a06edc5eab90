"""Commands and other processes, with the time and the memory that they take."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import Any

import psutil

POLL = 0.1
"""Seconds between two looks at the memory."""


class PeakMemory:
    """The most memory that this process's children and theirs have together, in MB, while it is open.

    A page that several of them share counts once: it is divided among them (PSS, which only Linux tells).
    """

    def __init__(self) -> None:
        self.MB = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while not self._ended.wait(POLL):
            self.MB = max(self.MB, sum(map(_memory, this.children(recursive=True))) / 2**20)


def _memory(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0  # it has just ended


def measured(command: list[str], environment: Mapping[str, str] | None = None) -> tuple[str, dict[str, float]]:
    """What a command printed; its seconds from start to end, and the most memory of it and its children in MB."""
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complaints:
        began = time.perf_counter()
        with PeakMemory() as peak:
            done = subprocess.run(command, stdout=printed, stderr=complaints, env={**os.environ, **(environment or {})})
        seconds = time.perf_counter() - began
        for file in (printed, complaints):
            file.seek(0)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{complaints.read()}")
        return printed.read(), {"seconds": round(seconds, 2), "MB": round(peak.MB)}
