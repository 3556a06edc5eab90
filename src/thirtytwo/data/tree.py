"""A walk through folders: the pictures in each, and what is no picture by kind."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from thirtytwo.data.formats import Extra, is_picture, suffix_of

_SYSTEM_FOLDERS = frozenset({
    "__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "recycler", "lost+found", "system volume information",
    "__pycache__",
})  # fmt: skip
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

_OWN_LINKS = 4
"""Down to this level, which is that of classes below a wrapper, a folder may be linked to from several others."""

File = tuple[str, int, int]
"""Path, size in bytes, modification time in ns."""


@dataclass
class Folder:
    """One folder: its own files by kind, and the folders in it.

    Attributes:
        pictures: the files that count as pictures, in the order of their names.
        folders: in the order of their names, without those of the system and hidden ones.
        others: files that are no pictures, by suffix.
        unread: pictures in formats whose package is not installed.
        hidden: number of files that are hidden or the system's.
        system: names of folders that are hidden or the system's; they are not entered.
        loops: number of links to a folder that has been read.
    """

    path: Path
    pictures: list[File] = field(default_factory=list)
    folders: list["Folder"] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unread: Counter[Extra] = field(default_factory=Counter)
    hidden: int = 0
    system: list[str] = field(default_factory=list)
    loops: int = 0

    @property
    def name(self) -> str:
        """Its name; bytes that are not UTF-8 are in it as lone surrogates."""
        return self.path.name

    @cached_property
    def count(self) -> int:
        """Pictures in it and below, unread ones too: which level is which must not depend on what is installed."""
        return len(self.pictures) + self.unread.total() + sum(folder.count for folder in self.folders)

    @cached_property
    def full(self) -> list["Folder"]:
        """The folders in it that hold pictures, at any depth."""
        return [folder for folder in self.folders if folder.count]

    def all(self) -> Iterator["Folder"]:
        """It and every folder below."""
        yield self
        for folder in self.folders:
            yield from folder.all()

    @cached_property
    def files(self) -> list[File]:
        """Every picture in it and below that can be read, in the order of their paths."""
        if not self.folders:
            return self.pictures
        files = [file for folder in self.all() for file in folder.pictures]
        return sorted(files, key=lambda file: file[0].split(os.sep))  # noqa: PTH206  (a Path per picture costs more)


def walk(root: Path) -> Folder:
    """The tree below ``root``. A link to a folder above it, or to one already read in its class, is not followed."""
    return _walk(root, {_identity(root)}, 0)


def _walk(path: Path, seen: set[tuple[int, int]], depth: int) -> Folder:
    folder = Folder(path)
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.is_dir():
                _add_file(folder, entry)
            elif entry.name.startswith(".") or entry.name.lower() in _SYSTEM_FOLDERS:
                folder.system.append(entry.name)
            elif (identity := _identity(Path(entry))) in seen:
                folder.loops += 1
            else:
                below = {*seen, identity} if depth < _OWN_LINKS else seen
                below.add(identity)
                folder.folders.append(_walk(Path(entry), below, depth + 1))
    return folder


def _add_file(folder: Folder, entry: os.DirEntry[str]) -> None:
    name = entry.name
    if name.startswith(".") or name.lower() in _SYSTEM_FILES:
        folder.hidden += 1
        return
    kind = is_picture(entry)
    if isinstance(kind, Extra):
        folder.unread[kind] += 1
    elif not kind:
        folder.others[suffix_of(name) or "without a suffix"] += 1
    elif entry.is_file() or entry.is_symlink():
        status = entry.stat() if entry.is_file() else entry.stat(follow_symlinks=False)
        folder.pictures.append((entry.path, status.st_size, status.st_mtime_ns))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
