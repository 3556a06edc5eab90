"""Which level of a tree of folders is which: wrappers, splits, classes. What is unclear is refused, never guessed."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from thirtytwo.data.layout import SPLITS, listed, split_named
from thirtytwo.data.tree import Folder
from thirtytwo.errors import UserError
from thirtytwo.paths import readable
from thirtytwo.words import plural

_USUAL = frozenset(("train", "training", "val", "valid", "validation", "dev", "test", "testing"))
"""Spellings of splits, in lower case, that need no note."""

_NO_LABEL = frozenset({
    "image", "images", "img", "imgs", "jpegimages", "picture", "pictures", "pics", "photos", "png", "jpg", "jpeg",
    "rgb", "data", "files", "all", "unknown", "unlabeled", "unlabelled", "none",
})  # fmt: skip
"""Names, as `_letters`, that a folder of pictures has when it says nothing about them."""

_ANNOTATIONS = frozenset({
    "label", "labels", "mask", "masks", "annotation", "annotations", "segmentation", "segmentations",
    "segmentationclass", "segmentationobject", "groundtruth", "groundtruths", "gt", "depth",
})  # fmt: skip
"""Names, as `_letters`, that a folder of pictures has when it describes those of another."""

_PART = re.compile(r"(?i)(k?fold|cv|split|partition|batch|chunk|shard)s?[ _.-]*\d+")
"""Names of parts of one set."""


@dataclass
class Levels:
    """Which folders hold what.

    Attributes:
        top: where the walk began.
        classes: split -> class -> its folder, classes with pictures only.
        bases: the folders that hold the class folders.
        beside: folders with pictures that are not used, each named in a note.
        notes: one line each on how the tree was read.
    """

    top: Folder
    classes: dict[str, dict[str, Folder]] = field(default_factory=dict)
    bases: list[Folder] = field(default_factory=list)
    beside: list[Folder] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        """The folder that the user named, as messages show it."""
        return readable(str(self.top.path))

    def within(self, folder: Folder) -> str:
        """A folder as messages show it: by its path within `top`."""
        return readable(str(folder.path.relative_to(self.top.path)))


def find(top: Folder) -> Levels:
    """Recognise the levels below ``top``.

    ``<class>/<picture>``, ``<split>/<class>/<picture>`` or ``<class>/<split>/<picture>``, each within folders that hold
    nothing else. Raises UserError, with the way out, for splits without class folders, two folders that mean the same
    split, and trees in which it is unclear which level the classes are.
    """
    levels = Levels(top)
    base = top
    while (inner := _wrapped(base)) and not _is_split(inner):
        base = inner
    if base is not top:
        _note_wrapper(levels, top, base)
    named = [folder for split in SPLITS for folder in base.full if split_named(folder.name) == split]
    if any(folder.full and split_named(folder.name) == "train" for folder in named):
        _read_splits(levels, base)
    elif not named and _splits_are_inside(base):
        _read_splits_inside(levels, base)
    else:
        _require_no_splits(levels, base, named)
        _require_one_meaning(levels, base)
        _require_no_splits_in_classes(levels, base)
        levels.classes["train"] = {folder.name: folder for folder in base.full}
        levels.bases.append(base)
    return levels


def _is_split(folder: Folder) -> bool:
    """Whether this folder, alone in another, is a split rather than a wrapper around splits."""
    return bool(split_named(folder.name)) and not all(split_named(each.name) for each in folder.full)


def _wrapped(folder: Folder, classes: Collection[str] = ()) -> Folder | None:
    """The one folder that holds all of this one's pictures, in folders of its own; None if it is one of ``classes``."""
    if folder.pictures or len(folder.full) != 1:
        return None
    (only,) = folder.full
    alone = len(folder.folders) == 1 or _letters(only.name) in _NO_LABEL
    deeper = any(each.full or split_named(each.name) for each in only.full) or len(only.full) > 1
    return only if alone and deeper and only.name not in classes else None


def _read_splits(levels: Levels, base: Folder) -> None:
    """``<split>/<class>/<picture>``."""
    read: list[tuple[str, str]] = []
    for split in SPLITS:
        train = levels.classes.get("train", {})
        mine = [folder for folder in base.full if split_named(folder.name) == split]
        inner = {folder.name: _without_wrappers(levels, folder, train) for folder in mine}
        labelled = [folder for folder in mine if _is_labelled(inner[folder.name], train)]
        for folder in mine:
            if folder not in labelled:
                _leave_out_unlabelled(levels, folder, split)
        _require_one(levels, labelled, split)
        if labelled:
            (folder,) = labelled
            levels.bases.append(inner[folder.name])
            levels.classes[split] = {each.name: each for each in inner[folder.name].full}
            read.append((folder.name, split))
            _require_classes_in_split(levels, inner[folder.name])
    _note_spellings(levels, read)
    others = [folder for folder in base.full if not split_named(folder.name)]
    levels.beside += others
    if others:
        levels.notes.append(f"left out {_counted(others)}, beside {listed(levels.classes)}")


def _without_wrappers(levels: Levels, folder: Folder, classes: Collection[str]) -> Folder:
    inner = folder
    while deeper := _wrapped(inner, classes):
        inner = deeper
    if inner is not folder:
        _note_wrapper(levels, folder, inner)
    return inner


def _note_wrapper(levels: Levels, outer: Folder, inner: Folder) -> None:
    name = levels.within(outer) if outer is not levels.top else levels.root
    levels.notes.append(f"read {levels.within(inner)}, since {name} holds no other folder of pictures")


def _is_labelled(folder: Folder, train: Collection[str]) -> bool:
    if len(folder.full) != 1 or folder.full[0].full or folder.full[0].name in train or not train:
        return bool(folder.full)
    name = folder.full[0].name
    return _letters(name) not in _NO_LABEL and not split_named(name)


def _leave_out_unlabelled(levels: Levels, folder: Folder, split: str) -> None:
    if split == "val":
        raise UserError(
            f"{levels.root}: {_counted([folder])} holds no class folders, so its pictures have no labels: sort them "
            f"into {readable(folder.name)}/<class>/, or move that folder elsewhere"
        )
    levels.beside.append(folder)
    levels.notes.append(
        f"left out {_counted([folder])}: it holds no class folders, so its pictures have no labels "
        "(`thirtytwo predict` names them)"
    )


def _require_one(levels: Levels, folders: Sequence[Folder], split: str) -> None:
    if len(folders) > 1:
        raise UserError(
            f"{levels.root}: {_counted(folders)} both mean {split}: merge them, or remove or rename one"
            if len(folders) == 2
            else f"{levels.root}: {_counted(folders)} all mean {split}: merge them, or remove or rename all but one"
        )


def _require_classes_in_split(levels: Levels, base: Folder) -> None:
    if len(base.full) > 1 and all(split_named(folder.name) for folder in base.full):
        raise UserError(
            f"{levels.root}: {readable(base.name)} holds {_counted(base.full)}, which are splits by their names, not "
            f"classes: give data.source={readable(str(base.path))}, or class folders"
        )
    _require_no_annotations(levels, base)
    _require_no_splits_in_classes(levels, base)


def _inside(folder: Folder) -> list[Folder]:
    """The folders within one, past those that hold all the others: ``train`` and ``test`` of ``cat/images/train``."""
    inside = folder.full
    while len(inside) == 1 and inside[0].full and not split_named(inside[0].name):
        inside = inside[0].full
    return inside


def _splits_are_inside(base: Folder) -> bool:
    """Whether each folder holds splits, and these hold all pictures: ``<class>/<split>/<picture>``."""
    return len(base.full) > 1 and all(
        folder.count == sum(each.count for each in _inside(folder) if split_named(each.name) and not each.full)
        for folder in base.full
    )


def _read_splits_inside(levels: Levels, base: Folder) -> None:
    _require_no_annotations(levels, base)
    for folder in base.full:
        for split in SPLITS:
            mine = [each for each in _inside(folder) if split_named(each.name) == split]
            _require_one(levels, mine, f"{split} of {readable(folder.name)}")
            for each in mine:
                levels.classes.setdefault(split, {})[folder.name] = each
    levels.bases.append(base)
    if "train" not in levels.classes:
        raise UserError(
            f"{levels.root} holds {listed(levels.classes)}, but no train folder with pictures to learn from"
        )
    example = _inside(base.full[0])[0]
    levels.notes.append(
        f"read {levels.within(example)} and the like as <class>/<split>, since each class folder holds splits"
    )
    _note_spellings(levels, [(e.name, split_named(e.name) or "") for folder in base.full for e in _inside(folder)])


def _note_spellings(levels: Levels, read: Sequence[tuple[str, str]]) -> None:
    unusual = dict.fromkeys(f"{readable(name)} as {split}" for name, split in read if name.lower() not in _USUAL)
    if unusual:
        levels.notes.append(f"read {listed(unusual)}, by {'their names' if len(unusual) > 1 else 'its name'}")


def _require_no_splits(levels: Levels, base: Folder, named: Sequence[Folder]) -> None:
    """Refuse ``named``, the folders with names of splits, unless one is plainly the class of pictures of trains."""
    if not named:
        return
    others = [folder for folder in base.full if folder not in named]
    splits = {split_named(folder.name) for folder in named}
    if all(folder.full for folder in named) and not others:
        held = listed(dict.fromkeys(folder.name for folder in named))
        raise UserError(f"{levels.root} holds {held}, but no train folder with class folders to learn from")
    if not others or len(splits) > 1:
        bare = [folder for folder in named if not folder.full] or named
        raise UserError(
            f"{levels.root}: {_counted(bare)} {'are splits' if len(bare) > 1 else 'is a split'} without class folders: "
            "a picture's class is the name of its folder, so sort their pictures into class folders, "
            f"{readable(bare[0].name)}/<class>/<picture>"
            + (f"; if they are classes, move all class folders into {levels.root}/train" if others else "")
        )
    if splits == {"train"} and len(others) > 1:
        levels.notes.append(f"read {_counted(named)} as a class, since it lies beside {listed(e.name for e in others)}")
        return
    raise UserError(
        f"{levels.root}: {_counted(named)} has the name of a split and lies beside {listed(e.name for e in others)}: "
        f"if it is a split, move the class folders into {levels.root}/train, and it elsewhere if it has no class "
        f"folders; if it is a class, move all class folders, and it, into {levels.root}/train"
    )


def _require_one_meaning(levels: Levels, base: Folder) -> None:
    """Refuse a tree whose upper level may be sets, parts, or pictures and annotations, instead of classes."""
    names = [folder.name for folder in base.full]
    sets = [folder for folder in base.full if any(each.full and split_named(each.name) for each in _inside(folder))]
    if sets and len(names) > 1:
        raise UserError(
            f"{levels.root}: {_counted(sets)} {'hold' if len(sets) > 1 else 'holds'} splits, so that there are several "
            f"sets: name one of them, data.source={readable(str(sets[0].path))}"
        )
    escape = f"if {listed(names)} are the classes, move them into {levels.root}/train"
    if len(names) > 1 and all(_PART.fullmatch(name) for name in names):
        raise UserError(
            f"{levels.root}: {listed(names)} are parts of one set by their names: give train, val and test, each with "
            f"class folders; {escape}"
        )
    _require_no_annotations(levels, base)
    if shared := _shared(base.full):
        raise UserError(
            f"{levels.root}: {_counted(base.full)} hold the same folders ({listed(shared)}), so it is unclear which "
            "level the classes are: if it is the lower one, name the upper one train, val and test, or give one of it, "
            f"data.source={readable(str(base.full[0].path))}; {escape}"
        )


def _require_no_annotations(levels: Levels, base: Folder) -> None:
    """Refuse folders of pictures and of annotations, in place of classes or within one."""
    for place in (base, *base.full):
        words = {_letters(folder.name) for folder in place.full}
        if words & _ANNOTATIONS and words & _NO_LABEL and words <= _ANNOTATIONS | _NO_LABEL:
            names = listed(levels.within(folder) for folder in place.full)
            raise UserError(
                f"{levels.root}: {names} are pictures and annotations by their names, not classes: "
                + (
                    f"sort the pictures into {readable(base.name)}/<class>/<picture>; if they are classes, rename one"
                    if place is base
                    else f"leave only the pictures in {levels.within(place)}"
                )
            )


def _shared(folders: Sequence[Folder]) -> list[str]:
    """The names that folders of several classes have in common, if they are too many to be chance."""
    nested = [inside for folder in folders if (inside := _inside(folder))]
    if len(nested) < 2 or 2 * len(nested) < len(folders):
        return []
    counts = Counter(each.name for inside in nested for each in inside)
    common = [name for name, count in counts.items() if count > 1 and 2 * count >= len(nested)]
    return common if len(common) > 1 or (len(common), len(counts)) == (1, 2) else []


def _require_no_splits_in_classes(levels: Levels, base: Folder) -> None:
    """Refuse classes with splits at any depth that are not all they hold, or that not every class has."""
    held = [(folder, [each for each in _below(folder) if split_named(each.name)]) for folder in base.full]
    several = [(folder, inside) for folder, inside in held if len({split_named(each.name) for each in inside}) > 1]
    some = [(folder, inside) for folder, inside in held if inside]
    if several or 2 * len(some) > len(base.full):
        folder, inside = (several or some)[0]
        raise UserError(
            f"{levels.root}: class {readable(folder.name)} holds {_counted(inside, folder)}, by name "
            f"{'splits' if len(inside) > 1 else 'a split'}: let every class hold all its pictures in splits, or "
            "put the splits above the classes (train/<class>)"
        )


def _letters(name: str) -> str:
    """``groundtruth`` for ``Ground-Truth 2``."""
    return "".join(filter(str.isalpha, name.lower()))


def _below(folder: Folder) -> Iterator[Folder]:
    for each in folder.full:
        yield each
        yield from _below(each)


def _counted(folders: Sequence[Folder], base: Folder | None = None) -> str:
    """``train (20 pictures) and test (1 picture)``, by their paths within ``base`` if it is given."""
    names = [str(each.path.relative_to(base.path)) if base else each.name for each in folders]
    counts = [plural(each.count, "picture") for each in folders]
    return listed(f"{name} ({count})" for name, count in zip(names, counts, strict=True))
