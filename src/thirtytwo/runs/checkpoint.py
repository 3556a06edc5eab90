"""Checkpoints: atomic to write, hashed, safe to open.

A checkpoint is a folder ``step-000391`` of ``tensors.safetensors``, ``state.json`` and ``MANIFEST.json`` with the
others' sha256. It is written under a temporary name, synced, and renamed, so that a folder with its final name is
complete unless it was damaged later, which the hashes show. Nothing in it can run code.
"""

import json
import os
import re
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from thirtytwo import records
from thirtytwo.errors import UserError
from thirtytwo.files import read_json, sha256, write_atomic
from thirtytwo.records import CheckpointState, Manifest

KEEP = 2


def pack(tensors: dict[str, Tensor]) -> bytes:
    """Tensors as safetensors, with the names of those in channels_last order in the metadata.

    The order in memory decides the order of sums, so an exact resume has to restore it.
    """
    channels_last = [name for name, tensor in tensors.items() if _is_channels_last(tensor)]
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return save_tensors(plain, metadata={"channels_last": json.dumps(channels_last)})


def unpack(data: bytes, source: Path) -> dict[str, Tensor]:
    """Unpack what `pack` packed. Raises UserError naming ``source`` when it is damaged."""
    try:
        tensors = load_tensors(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        listed = {*json.loads(header.get("__metadata__", {}).get("channels_last", "[]"))}
    except (SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{source}: damaged, not readable as safetensors ({error})") from None
    return {
        name: tensor.contiguous(memory_format=torch.channels_last) if name in listed and tensor.ndim == 4 else tensor
        for name, tensor in tensors.items()
    }


def require_like(found: dict[str, Tensor], expected: dict[str, Tensor], prefix: str = "") -> None:
    """Raise ValueError unless both have the same names, shapes and types; the message puts ``prefix`` before a name."""
    for name in sorted(found.keys() ^ expected.keys()):
        raise ValueError(f"{prefix}{name} is {'missing' if name in expected else 'not part of it'}")
    for name, tensor in found.items():
        wanted = expected[name]
        if (tensor.shape, tensor.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{prefix}{name} is {tensor.dtype} {tuple(tensor.shape)}, not {wanted.dtype} {tuple(wanted.shape)}"
            )


def save(folder: Path, step: int, tensors: dict[str, Tensor], state: CheckpointState) -> Path:
    """Write the checkpoint of ``step`` into ``folder`` and drop all but the newest two."""
    final = at(folder, step)
    temporary = folder / f".{final.name}.tmp"
    for leftover in (*folder.glob(".step-*.tmp"), final):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{temporary}: cannot be made ({error.strerror})") from None
    files = {"tensors.safetensors": pack(tensors), "state.json": json.dumps(state).encode()}
    for name, data in files.items():
        write_atomic(temporary / name, data)
    manifest = {"step": step, "sha256": {name: sha256(data) for name, data in files.items()}}
    write_atomic(temporary / "MANIFEST.json", json.dumps(manifest).encode())
    _sync_folder(temporary)
    temporary.rename(final)
    _sync_folder(folder)
    found = steps(folder)
    # A later checkpoint than this can only be damaged: the training resumed from before it.
    for old in {*found} - {*[each for each in found if each <= step][-KEEP:]}:
        shutil.rmtree(at(folder, old), ignore_errors=True)
    return final


def at(folder: Path, step: int) -> Path:
    """Where ``folder`` has the checkpoint of ``step``."""
    return folder / f"step-{step:06d}"


def steps(folder: Path) -> list[int]:
    """The steps for which ``folder`` has a checkpoint, ascending."""
    names = folder.iterdir() if folder.is_dir() else ()
    return sorted(int(match.group(1)) for path in names if (match := re.fullmatch(r"step-(\d{6,})", path.name)))


def load(path: Path) -> tuple[dict[str, Tensor], CheckpointState]:
    """The tensors and the state of one checkpoint. Raises UserError when a byte differs from the manifest's hashes."""
    manifest = records.checked(path / "MANIFEST.json", read_json(path / "MANIFEST.json"), Manifest)
    files = {}
    for name in ("tensors.safetensors", "state.json"):
        try:
            files[name] = (path / name).read_bytes()
        except OSError as error:
            raise UserError(f"{path / name}: damaged, cannot be read ({error.strerror})") from None
        if sha256(files[name]) != manifest["sha256"].get(name):
            raise UserError(f"{path / name}: damaged, its sha256 differs from the manifest's")
    state = records.checked(path / "state.json", read_json(path / "state.json"), CheckpointState)
    if at(path.parent, state["step"]).name != path.name:
        raise UserError(f"{path / 'state.json'}: damaged, it is of step {state['step']}")
    return unpack(files["tensors.safetensors"], path), state


def digest(folder: Path, step: int) -> str:
    """The sha256 of the tensors of a checkpoint, as its manifest has it."""
    path = at(folder, step) / "MANIFEST.json"
    return records.checked(path, read_json(path), Manifest)["sha256"]["tensors.safetensors"]


def newest(folder: Path) -> tuple[dict[str, Tensor], CheckpointState, list[str]] | None:
    """The newest valid checkpoint with a line about each damaged newer one; None where there is no checkpoint.

    Raises UserError when there are checkpoints but none of them is valid.
    """
    damaged: list[str] = []
    for step in reversed(steps(folder)):
        try:
            tensors, state = load(at(folder, step))
        except UserError as error:
            damaged.append(str(error))
        else:
            return tensors, state, damaged
    if damaged:
        raise UserError(f"{damaged[0]}; no valid checkpoint is left in {folder}: train again from the start")
    return None


def _is_channels_last(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
