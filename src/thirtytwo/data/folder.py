"""Class folders: ``<root>/<class>/<picture>``, or ``<root>/train|val|test/<class>/<picture>``, and their like."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from thirtytwo.data.decoded import Encoded, Gathered
from thirtytwo.data.formats import Extra
from thirtytwo.data.layout import alike, difference, listed
from thirtytwo.data.levels import Levels, find
from thirtytwo.data.reading import Source
from thirtytwo.data.tree import Folder, walk
from thirtytwo.errors import UserError
from thirtytwo.paths import natural, readable
from thirtytwo.words import plural

EXPECTED = (
    "class folders (<folder>/<class>/<picture>, or the same below train, val and test), Hugging Face parquet, an .npz "
    "file, MNIST's idx files, CIFAR's batches or SVHN's .mat files"
)


def gather(root: Path) -> Gathered:
    """The pictures of a class-folder tree, classes in natural order (2 before 10), pictures in path order.

    Pictures may be nested deeper in their class's folder. What is not read is said in the notes, by name or by kind; a
    folder that links lead back to is read once. Raises UserError for what `find` refuses, when there are fewer than two
    classes, a class exists only in val or test, its pictures all need a package that is not installed, or its name is
    not UTF-8.
    """
    top = walk(root)
    levels = find(top)
    empty = _empty(levels)
    names = sorted({name for tree in levels.classes.values() for name in tree}, key=natural)
    _require_classes(levels, names, empty)
    splits = {split: _encoded(tree, names) for split, tree in levels.classes.items()}
    files = sorted(file for tree in levels.classes.values() for folder in tree.values() for file in folder.files)
    notes = [*levels.notes, *_notes_on_classes(levels), *_notes_on_files(levels, empty)]
    return Gathered(root.resolve().name, root, tuple(names), splits, files, tuple(notes))


def _empty(levels: Levels) -> list[Folder]:
    """Folders where classes or splits are expected that hold no pictures."""
    places = {id(place): place for place in (*levels.bases, levels.top)}.values()
    return [folder for place in places for folder in place.folders if not folder.count]


def _require_classes(levels: Levels, names: Sequence[str], empty: Sequence[Folder]) -> None:
    root, without = levels.root, "".join(f"; {_described(levels, folder)}" for folder in empty[:4])
    if not names:
        inside = sorted(entry.name for entry in levels.top.path.iterdir())
        count = len(levels.top.pictures)
        held = f"{plural(count, 'picture')}, but no class folder" if count else listed(inside) or "nothing"
        raise UserError(f"{root} holds {held}{without}. Expected {EXPECTED}")
    for name in names:
        if readable(name) != name:
            raise UserError(f"{root}: the name of class folder '{readable(name)}' is not UTF-8: rename it")
    if len(names) == 1:
        raise UserError(
            f"{root} holds 1 class folder ('{names[0]}'){without}: a classifier needs two or more. "
            f"Expected {levels.top.name or root}/<class>/<picture>"
        )
    for folder in (folder for tree in levels.classes.values() for folder in tree.values() if not folder.files):
        ((extra, count), *_) = _unread(folder.all()).items()
        raise UserError(
            f"{root}: all pictures of {levels.within(folder)} are {extra.name} ({count:,}): `pip install "
            f"{extra.package}` lets them be read; else remove the folder"
        )
    known = {alike(name): name for name in levels.classes["train"]}
    for split, tree in levels.classes.items():
        missing = sorted(tree.keys() - levels.classes["train"].keys(), key=natural)
        for name in missing:
            if other := known.get(alike(name)):
                raise UserError(
                    f"{root}: class names in {split} and train, {difference(name, other)}: give both folders one name"
                )
        if missing:
            words = f"class '{missing[0]}' is" if len(missing) == 1 else f"classes {listed(missing)} are"
            it = "it" if len(missing) == 1 else "them"
            raise UserError(
                f"{root}: {words} in {split} but not in train{without}: add pictures of {it} to train, or remove {it} "
                f"from {split}"
            )


def _encoded(tree: dict[str, Folder], names: Sequence[str]) -> Encoded:
    files = [(path, label) for label, name in enumerate(names) if name in tree for path, _, _ in tree[name].files]

    def pictures() -> Iterator[Source]:
        return ((readable(path), path) for path, _ in files)

    labels = np.array([label for _, label in files], dtype=np.int64)
    return Encoded(labels, pictures, tuple(readable(path) for path, _ in files))


def _notes_on_classes(levels: Levels) -> list[str]:
    notes = []
    train = levels.classes["train"]
    similar: dict[str, list[str]] = {}
    for name in train:
        similar.setdefault(alike(name), []).append(name)
    for first, *others in similar.values():
        notes += [f"two classes whose names {difference(first, other)} stay two" for other in others]
    deep = dict.fromkeys(
        f"{name} ({listed(each.name for each in folder.full)})"
        for tree in levels.classes.values()
        for name, folder in tree.items()
        if folder.full
    )
    if deep:
        notes.append(f"pictures in folders within a class folder count as that class: {listed(deep)}")
    return notes


def _notes_on_files(levels: Levels, empty: Sequence[Folder]) -> list[str]:
    """What was not read, by kind, in the folders that were; then the empty ones by name."""
    aside = {id(folder) for folder in (*levels.beside, *empty)}
    folders = list(_all_but(levels.top, aside))
    notes = []
    for base in levels.bases:
        if base.pictures:
            names = listed((path.removeprefix(f"{levels.top.path}{os.sep}") for path, _, _ in base.pictures), most=2)
            notes.append(f"left out {plural(len(base.pictures), 'picture')} beside class folders: {names}")
    for extra, count in _unread(folders).items():
        owners = listed(
            f"{name} {number}"
            for tree in levels.classes.values()
            for name, folder in tree.items()
            if (number := _unread(folder.all())[extra])
        )
        notes.append(
            f"left out {plural(count, f'{extra.name} picture')} ({owners or 'outside classes'}): `pip install "
            f"{extra.package}` lets them be read"
        )
    others = sum((folder.others for folder in folders), Counter())
    if others:
        notes.append(f"ignored files that are no pictures: {_kinds(others)}")
    if hidden := sum(folder.hidden for folder in folders):
        notes.append(f"ignored {plural(hidden, 'hidden or system file')}")
    if system := Counter(name for folder in folders for name in folder.system):
        named = listed(f"{name} ({count})" if count > 1 else name for name, count in sorted(system.items()))
        notes.append(f"ignored {plural(system.total(), 'hidden or system folder')}: {named}")
    if loops := sum(folder.loops for folder in folders):
        link = "folder link" if loops == 1 else f"{loops:,} folder links"
        notes.append(f"ignored {'1 ' * (loops == 1)}{link} to a folder that has been read already")
    return notes + [f"{_described(levels, folder)}, so it is left out" for folder in empty]


def _all_but(folder: Folder, aside: set[int]) -> Iterator[Folder]:
    if id(folder) not in aside:
        yield folder
        for each in folder.folders:
            yield from _all_but(each, aside)


def _unread(folders: Sequence[Folder] | Iterator[Folder]) -> Counter[Extra]:
    return sum((each.unread for each in folders), Counter())


def _described(levels: Levels, folder: Folder) -> str:
    """``train/owl holds no pictures (20 .npy)``."""
    kinds = sum((each.others for each in folder.all()), Counter())
    return f"{levels.within(folder)} {f'holds no pictures ({_kinds(kinds)})' if kinds else 'is empty'}"


def _kinds(others: Counter[str]) -> str:
    return listed((f"{count:,} {kind}" for kind, count in others.most_common()), most=6)
