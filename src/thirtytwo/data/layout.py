"""What the names of folders and files say: which mean a split, and which differ in what nobody sees."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from thirtytwo.paths import readable

Split = Literal["train", "val", "test"]

SPLITS: tuple[str, ...] = ("train", "val", "test")

_SPELLINGS: dict[Split, str] = {
    "train": "train|training|trainval|trn",
    "val": "val|valid|validate|validation|eval|evaluate|evaluation|dev|devel|development",
    "test": "test|tests|testing|tst|holdout|heldout",
}
# What is written onto such a word without a separator: trainset, testimages, xtrain.
_BEFORE = "([xy]|data|images?|imgs?)?"
_AFTER = "(sets?|data|datasets?|images?|imgs?|pictures?|pics|photos?|files?|folder|dir|samples?)?"
_SPLIT = {split: re.compile(f"{_BEFORE}({words}){_AFTER}") for split, words in _SPELLINGS.items()}


def split_named(name: str) -> Split | None:
    """The split that a folder or file of this name holds, in any usual spelling, or None.

    The word may stand between others, set off by blanks, digits, ``_``, ``-``, ``.``, brackets or capitals. A name with
    words of two splits means neither. So does a name that only contains the letters, such as ``trainer``.

    >>> from thirtytwo.data.layout import split_named
    >>> [split_named(name) for name in ("seg_train", "Validation", "test1", "ImagesTest", "hold-out")]
    ['train', 'val', 'test', 'test', 'test']
    >>> [split_named(name) for name in ("cats", "trainer", "train_test_split")]
    [None, None, None]
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    joined = re.sub(r"(?i)\b(hold|held)[ _-]out", r"\1out", re.sub("_", " ", spaced))
    words = re.split(r"[\W\d_]+", joined.lower())
    found = {split for word in words for split, spelling in _SPLIT.items() if spelling.fullmatch(word)}
    return found.pop() if len(found) == 1 else None


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names as ``a, b and c``, or ``a, b, c, d and 3 more``, each as `readable`."""
    every = [readable(name) for name in names]
    first, last = (every[:-1], every[-1:]) if len(every) <= most else (every[:most], [f"{len(every) - most} more"])
    return " and ".join(filter(None, (", ".join(first), *last)))


def absent(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A line for each of val and test, in ``counts`` (split -> class -> images), that has no image of some class."""
    lines = []
    for split, of in counts.items():
        without = [f"'{name}'" for name, count in of.items() if not count]
        if without and split != "train":
            lines.append(
                f"{split} has no image of class {listed(without)}, so it does not say how well that is recognised"
            )
    return lines


def _without_blanks(name: str) -> str:
    return "".join(name.split())


def _without_invisible(name: str) -> str:
    return "".join(c for c in name if unicodedata.category(c) not in ("Cf", "Cc"))


_HARDLY_SEEN: dict[str, Callable[[str], str]] = {
    "upper and lower case": str.casefold,
    "blanks": _without_blanks,
    "invisible characters": _without_invisible,
    "how Unicode writes the same (NFC, NFD)": lambda name: unicodedata.normalize("NFKC", name),
}


def alike(name: str) -> str:
    """A name without what is hardly seen: names for which this is equal look the same, or nearly."""
    for _ in range(2):  # a folded letter may have to be composed again
        for change in _HARDLY_SEEN.values():
            name = change(name)
    return name


def difference(one: str, other: str) -> str:
    """How two names that are `alike` differ, as the end of a sentence."""
    ways = [way for way, change in _HARDLY_SEEN.items() if change(one) == change(other)]
    if ways[:1] == ["upper and lower case"]:
        return f"'{readable(one)}' and '{readable(other)}' differ only in upper and lower case"
    exact = " and ".join(ascii(name).replace(" ", "\\x20") for name in (one, other))
    return f"{exact} differ only in {ways[0] if ways else 'case, blanks and how Unicode writes the same'}"
