"""Class folders: ``<root>/<class>/<picture>``, or ``<root>/train|val|test/<class>/<picture>``."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from thirtytwo.data.decoded import Encoded, Gathered, Source
from thirtytwo.data.layout import SPLITS, split_named
from thirtytwo.data.picture import is_picture_name
from thirtytwo.errors import UserError
from thirtytwo.paths import natural

EXPECTED = (
    "class folders (<folder>/<class>/<picture>, or the same below train, val and test), Hugging Face parquet, an .npz "
    "file, MNIST's idx files, CIFAR's batches or SVHN's .mat files"
)


@dataclass
class _Found:
    """What a walk through the folders found."""

    ignored: int = 0
    links: int = 0
    files: list[tuple[str, int, int]] = field(default_factory=list)


def gather(root: Path) -> Gathered:
    """The pictures of a class-folder tree, classes in natural order (2 before 10), pictures in path order.

    Pictures may be nested deeper in their class's folder. Hidden files and files without a picture's suffix are ignored
    and counted; a folder that links lead back to is read once. Raises UserError when there are fewer than two classes,
    or a class exists only in val or test.
    """
    found = _Found()
    folders: dict[str | None, Path] = {split_named(folder.name): folder for folder in _subfolders(root)}
    trees = {split: _classes(folders[split], found) for split in SPLITS if split in folders}
    outside = len(_subfolders(root)) - len(trees)
    if any(trees.values()) and not trees.get("train") and not outside:
        raise UserError(f"{root} holds {' and '.join(trees)}, but no train folder with pictures to learn from")
    if not trees.get("train"):
        found, outside = _Found(), 0
        trees = {"train": _classes(root, found)}
    names = sorted({name for tree in trees.values() for name in tree}, key=natural)
    _require_classes(root, trees, names)
    splits = {split: _encoded(tree, names) for split, tree in trees.items() if tree}
    notes = []
    if found.ignored:
        notes.append(f"ignored {found.ignored} hidden or non-picture file{'s' * (found.ignored > 1)}")
    if found.links:
        notes.append(
            f"ignored {found.links} folder link{'s' * (found.links > 1)} to a folder that has been read already"
        )
    if outside:
        notes.append(f"ignored {outside} folder{'s' * (outside > 1)} beside train, val and test")
    return Gathered(root.resolve().name, root, tuple(names), splits, sorted(found.files), tuple(notes))


def _require_classes(root: Path, trees: dict[str, dict[str, list[Path]]], names: Sequence[str]) -> None:
    if not names:
        inside = sorted(entry.name for entry in root.iterdir())
        shown = ", ".join(inside[:4]) + (", ..." if len(inside) > 4 else "") if inside else "nothing"
        pictures = sum(is_picture_name(Path(name)) for name in inside)
        if pictures:
            shown = f"{pictures} picture{'s' * (pictures > 1)}, but no class folder"
        raise UserError(f"{root} holds {shown}. Expected {EXPECTED}")
    if len(names) == 1:
        raise UserError(
            f"{root} holds 1 class folder ('{names[0]}'): a classifier needs two or more. "
            f"Expected {root.name or root}/<class>/<picture>"
        )
    for split, tree in trees.items():
        for name in names:
            if name in tree and name not in trees["train"]:
                raise UserError(f"{root}: class '{name}' is in {split} but not in train: add pictures of it to train")


def _encoded(tree: dict[str, list[Path]], names: Sequence[str]) -> Encoded:
    files = [(path, label) for label, name in enumerate(names) for path in tree.get(name, [])]

    def pictures() -> Iterator[Source]:
        return ((str(path), path) for path, _ in files)

    labels = np.array([label for _, label in files], dtype=np.int64)
    return Encoded(labels, pictures, tuple(str(path) for path, _ in files))


def _subfolders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _classes(root: Path, found: _Found) -> dict[str, list[Path]]:
    """Class name -> its pictures, for each subfolder that has any."""
    found.ignored += sum(1 for entry in root.iterdir() if not entry.is_dir())
    classes = {}
    for folder in _subfolders(root):
        # The root counts as read: a link back to it would make every class part of this one.
        pictures = sorted(_pictures(folder, {_identity(root), _identity(folder)}, found))
        if pictures:
            classes[folder.name] = pictures
    return classes


def _pictures(folder: Path, seen: set[tuple[int, int]], found: _Found) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                if (identity := _identity(path)) in seen:
                    found.links += 1
                elif not entry.name.startswith("."):
                    seen.add(identity)
                    yield from _pictures(path, seen, found)
            elif not is_picture_name(path):
                found.ignored += 1
            elif entry.is_file() or entry.is_symlink():
                status = entry.stat() if entry.is_file() else entry.stat(follow_symlinks=False)
                found.files.append((entry.path, status.st_size, status.st_mtime_ns))
                yield path


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
