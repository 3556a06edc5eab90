"""Look at every picture of a folder before training on it: which are bad, which are duplicates, and of what kinds."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thirtytwo.data import parallel, reading
from thirtytwo.data.layout import absent
from thirtytwo.data.load import gather, is_name
from thirtytwo.data.picture import BadPicture, Header, Size
from thirtytwo.errors import UserError
from thirtytwo.paths import as_path


@dataclass(frozen=True)
class Bad:
    """A picture that cannot be read, and why."""

    name: str
    split: str
    label: str
    reason: str


@dataclass(frozen=True)
class Duplicates:
    """Pictures with exactly the same pixels.

    Attributes:
        names: two or more.
        splits: where they are; if there is more than one, a model is scored on what it was trained on.
        labels: their classes; if there is more than one, at least one label is wrong.
    """

    names: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class ScanReport:
    """What `scan` found.

    >>> from thirtytwo import ScanReport
    >>> report = ScanReport("pets", 2, {"train": {"cat": 1, "dog": 1}}, [], [], {(8, 8): 2}, {"RGB": 2}, [])
    >>> report.leaks, report.conflicts
    ([], [])

    Attributes:
        name: what reports call the set.
        total: pictures, good and bad.
        class_counts: split -> class -> pictures that can be read.
        bad: every picture that cannot be read.
        duplicates: every group of pictures with the same pixels.
        sizes: (height, width) -> pictures, most common first.
        modes: Pillow's mode -> pictures, most common first.
        notes: files that were ignored, and classes that a split has no picture of.
    """

    name: str
    total: int
    class_counts: Mapping[str, Mapping[str, int]]
    bad: Sequence[Bad]
    duplicates: Sequence[Duplicates]
    sizes: Mapping[Size, int]
    modes: Mapping[str, int]
    notes: Sequence[str]

    @property
    def leaks(self) -> list[Duplicates]:
        """Duplicates that are in more than one split."""
        return [group for group in self.duplicates if len(group.splits) > 1]

    @property
    def conflicts(self) -> list[Duplicates]:
        """Duplicates that have more than one class."""
        return [group for group in self.duplicates if len(group.labels) > 1]


def scan(source: str | Path, image_column: str | None = None, label_column: str | None = None) -> ScanReport:
    """Decode every picture of class folders or parquet files at its own size. Changes nothing and caches nothing.

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from thirtytwo import scan
    >>> for name in ("cat", "dog"):
    ...     Path("pets", name).mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(f"pets/{name}/1.png")
    >>> len(scan("pets").conflicts)  # the same picture in two classes
    1

    ``image_column`` and ``label_column`` are those of parquet files; None finds them.

    Raises UserError for a named source, and for a path that is missing or holds no pictures; bad pictures are
    reported, not raised.
    """
    if isinstance(source, str) and is_name(source):
        raise UserError(
            f"'{source}' is a named source, which needs no scan: give class folders or parquet files "
            f"(./{source.partition('(')[0]} for a folder of that name)"
        )
    root = as_path(source)
    if not root.exists():
        raise UserError(f"{root}: no such file or folder")
    try:
        gathered = gather(root, None, image_column, label_column)
    except OSError as error:
        raise UserError(f"{error.filename or root}: cannot be read ({error.strerror or error})") from None
    bad: list[Bad] = []
    counts: dict[str, dict[str, int]] = {}
    headers: list[Header] = []
    same: dict[bytes, list[tuple[str, str, str]]] = defaultdict(list)
    for split, encoded in gathered.splits.items():
        labels = [gathered.classes[label] for label in encoded.labels]
        counts[split] = dict.fromkeys(gathered.classes, 0)
        looked = parallel.each(reading.header_and_digest, encoded.pictures(), len(labels))
        for label, result in zip(labels, looked, strict=True):
            if isinstance(result, BadPicture):
                bad.append(Bad(result.name, split, label, result.reason))
                continue
            name, header, digest = result
            headers.append(header)
            counts[split][label] += 1
            same[digest].append((name, split, label))
    groups = [tuple(zip(*group, strict=True)) for group in same.values() if len(group) > 1]
    return ScanReport(
        name=gathered.name,
        total=len(gathered),
        class_counts=counts,
        bad=bad,
        duplicates=[
            Duplicates(names, tuple(dict.fromkeys(splits)), tuple(dict.fromkeys(labels)))
            for names, splits, labels in groups
        ],
        sizes=dict(Counter(header.size for header in headers).most_common()),
        modes=dict(Counter(header.mode for header in headers).most_common()),
        notes=(*gathered.notes, *absent(counts)),
    )
