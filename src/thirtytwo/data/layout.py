"""What the names of folders and files say: which mean a split."""

import re
from typing import Literal

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
