"""Hugging Face's parquet layout: an image column of ``{bytes, path}``, a label column, class names in the schema."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thirtytwo.data.columns import choose, is_text, of_pictures
from thirtytwo.data.decoded import Encoded, Gathered
from thirtytwo.data.formats import suffix_of
from thirtytwo.data.layout import SPLITS, listed, split_named
from thirtytwo.data.reading import Source
from thirtytwo.errors import UserError
from thirtytwo.paths import natural
from thirtytwo.words import plural

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def find(root: Path) -> list[Path]:
    """The parquet files of a folder and of its subfolders down to the second level, sorted; no hidden ones."""
    return sorted(_parquet_files(root, 2))


def _parquet_files(folder: Path, deeper: int) -> Iterator[Path]:
    """Not by `Path.glob`, which takes three times as long to pass over 145,600 pictures."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if suffix_of(entry.name) == ".parquet":
                yield Path(entry)
            elif deeper and entry.is_dir():
                yield from _parquet_files(Path(entry), deeper - 1)


def holds_pictures(path: Path) -> bool:
    """Whether a parquet file holds pictures, rather than facts about some; a damaged one may."""
    try:
        with _Reading(path) as file:
            return any(_has_bytes(file, name) for name in of_pictures(file.schema_arrow))
    except UserError:
        return True


def gather(root: Path, image: str | None = None, label: str | None = None) -> Gathered:
    """The pictures of a parquet file or folder; nothing is decoded yet.

    A file belongs to the split that its name says (``train-00000-of-00001.parquet``), else to the one that its folder
    in ``root`` is named after. Files that say none are train if no file says train, else they are left out, with a
    note. Class names come from the schema's Hugging Face metadata; without it they are the sorted labels.

    Args:
        root: a folder, or one file, which is train whatever its name.
        image: the column of pictures; None finds it, see `thirtytwo.data.columns`.
        label: the column of labels; None finds it.

    Raises UserError for a damaged file, for columns that are missing or of another type, and for labels that are
    missing, out of range, or in val or test alone.
    """
    files, notes = _by_split(root)
    shards = {split: [_Shard(path, image, label) for path in paths] for split, paths in files.items()}
    everything = [shard for split in SPLITS for shard in shards.get(split, [])]
    notes += dict.fromkeys(str(shard.columns) for shard in everything)
    classes = _classes(everything, root)
    labels = {split: np.concatenate([_numbers(shard, classes) for shard in part]) for split, part in shards.items()}
    present = np.flatnonzero(np.bincount(np.concatenate([*labels.values()]), minlength=len(classes)))
    if absent := [classes[i] for i in np.setdiff1d(np.arange(len(classes)), present)]:
        notes.append(f"no picture of {listed(absent)}, which the schema names: left out")
    classes = tuple(classes[i] for i in present)
    labels = {split: np.searchsorted(present, numbers) for split, numbers in labels.items()}
    _require_trained(labels, classes, root)
    splits = {split: _encoded(shards[split], labels[split]) for split in SPLITS if split in shards}
    stats = [(str(shard.path), shard.path.stat().st_size, shard.path.stat().st_mtime_ns) for shard in everything]
    chosen = tuple(f"{shard.columns.image}\0{shard.columns.label}" for shard in everything)
    return Gathered(_name(root, classes, splits), root, classes, splits, stats, tuple(notes), chosen)


def _by_split(root: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each split, and notes on those that are in none."""
    if not root.is_dir():
        return {"train": [root]}, []
    files: dict[str | None, list[Path]] = {}
    for path in find(root):
        files.setdefault(_split_of(path.relative_to(root)), []).append(path)
    plain, notes = files.pop(None, []), []
    if plain and "train" not in files:
        files["train"] = plain
    elif plain:
        names = listed([str(path.relative_to(root)) for path in plain])
        notes.append(f"ignored {len(plain)} parquet file{'s' * (len(plain) > 1)} of no split: {names}")
    if "train" not in files:
        raise UserError(
            f"{root} holds parquet files for {' and '.join(map(str, files))} only: expected train-*.parquet"
        )
    sets = {_set_of(path.relative_to(root)) for paths in files.values() for path in paths}
    if len(sets) > 1:
        names = listed([str(root.joinpath(*parts)) for parts in sorted(sets)])
        raise UserError(f"{root} holds several sets ({names}): name one of them")
    return {str(split): paths for split, paths in files.items()}, notes


def _split_of(path: Path) -> str | None:
    """The split that a file's path below the source says, its name first."""
    return next((split for text in (path.stem, *path.parts[-2::-1]) if (split := split_named(text))), None)


def _set_of(path: Path) -> tuple[str, ...]:
    """The folders that a file is in, but for those that are named after splits."""
    return tuple(part for part in path.parts[:-1] if not split_named(part))


class _Shard:
    """One parquet file: its columns, its labels, and its pictures a few at a time.

    Attributes:
        path: the file.
        columns: which of its columns are read.
        values: the different labels, in the order of their first use, whole numbers or text.
        codes: int64 (N,), for each row the position of its label in ``values``.
    """

    def __init__(self, path: Path, image: str | None, label: str | None) -> None:
        self.path = path
        with _Reading(path) as file:
            self.columns = choose(file.schema_arrow, path, image, label)
            if file.metadata.num_rows > path.stat().st_size:  # a few bytes can say that one label is repeated for ever
                raise UserError(f"{path}: damaged: more rows than bytes: fetch it again")
            self._require_bytes(file)
            self.values, self.codes = self._labels(file)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def text(self) -> bool:
        """Whether its labels are text."""
        return any(isinstance(value, str) for value in self.values)

    def pictures(self) -> Iterator[Source]:
        import pyarrow.types as is_

        row = 0
        with _Reading(self.path) as file:
            for batch in file.iter_batches(batch_size=256, columns=[self.columns.image]):
                column = batch.column(0)
                encoded = column.field("bytes") if is_.is_struct(column.type) else column
                for value in encoded.to_pylist()[: len(self) - row]:
                    yield f"{self.path} row {row}", value or b""
                    row += 1
        if row < len(self):
            raise UserError(
                f"{self.path}: damaged: {plural(len(self), 'label')} but {plural(row, 'picture')}: fetch it again"
            )

    def _require_bytes(self, file: "pyarrow.parquet.ParquetFile") -> None:
        """Raise UserError if the file has the pictures' paths and none of their bytes."""
        name = self.columns.image
        if file.metadata.num_rows and not _has_bytes(file, name):
            raise UserError(
                f"{self.path}: column '{name}' has the paths of pictures, not the pictures: write it with the files' "
                "bytes, or train on the files"
            )

    def _labels(self, file: "pyarrow.parquet.ParquetFile") -> tuple[list[int] | list[str], np.ndarray]:
        import pyarrow

        name = self.columns.label
        column = file.read(columns=[name]).column(0)
        if pyarrow.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if column.null_count:
            raise UserError(
                f"{self.path}: {plural(column.null_count, 'row')} without a label in '{name}': remove such rows"
            )
        if is_text(column.type):
            column = column.cast(pyarrow.large_string())
        joined = column.combine_chunks().dictionary_encode()
        values: list[int] | list[str] = joined.dictionary.to_pylist()
        return values, joined.indices.to_numpy().astype(np.int64)


def _has_bytes(file: "pyarrow.parquet.ParquetFile", name: str) -> bool:
    """Whether a column has the bytes of pictures, and not only their paths.

    Read from the column itself: where the column's statistics are damaged, pyarrow ends the process.
    """
    if not file.schema_arrow.field(name).type.num_fields:
        return True
    batches = file.iter_batches(batch_size=16, columns=[f"{name}.bytes"])
    return any(batch.column(0).field("bytes").null_count < len(batch) for batch in batches)


class _Reading:
    """``with _Reading(path) as file``: an open ParquetFile, whose errors name the file in one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "pyarrow.parquet.ParquetFile":
        import pyarrow.parquet

        try:
            self._file = pyarrow.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._damaged(error) from None
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow

        self._file.close()
        if isinstance(error, pyarrow.ArrowException | OSError | UnicodeDecodeError):
            raise self._damaged(error) from None

    def _damaged(self, error: BaseException) -> UserError:
        text = str(error).partition("\n")[0]
        return UserError(f"{self.path}: truncated, or not a parquet file ({text}): fetch it again")


def _classes(shards: Sequence[_Shard], root: Path) -> tuple[str, ...]:
    if len({shard.columns.names for shard in shards}) > 1:
        raise UserError(f"{root}: its parquet files disagree on the class names: name one set of files")
    if names := shards[0].columns.names:
        return names
    kinds = {shard.text: shard for shard in shards if len(shard)}
    if len(kinds) > 1:
        raise UserError(
            f"{root}: its parquet files disagree on the labels, which are text in {kinds[True].path.name} and numbers "
            f"in {kinds[False].path.name}: name one set of files"
        )
    return tuple(sorted({str(value) for shard in shards for value in shard.values}, key=natural))


def _numbers(shard: _Shard, classes: tuple[str, ...]) -> np.ndarray:
    """The labels of one file as int64 in [0, K)."""
    if shard.text or not shard.columns.names:
        numbers = {name: number for number, name in enumerate(classes)}
    else:
        numbers = {str(number): number for number in range(len(classes))}
    if shard.values == [-1] and shard.columns.names:
        raise UserError(f"{shard.path}: all labels are -1, which stands for none: leave this file out")
    for code, value in enumerate(shard.values):
        if str(value) not in numbers:
            row = int(np.argmax(shard.codes == code))
            expected = f"{len(classes)} classes need labels 0 to {len(classes) - 1}"
            if shard.text:
                expected = f"the schema names {listed(classes)}"
            raise UserError(f"{shard.path}: label {value} of row {row} is out of range: {expected}")
    table: np.ndarray = np.array([numbers[str(value)] for value in shard.values], dtype=np.int64)
    found: np.ndarray = table[shard.codes]
    return found


def _require_trained(labels: Mapping[str, np.ndarray], classes: Sequence[str], root: Path) -> None:
    if not len(labels["train"]):
        raise UserError(f"{root} holds no rows of train: expected at least one per class")
    for split, numbers in labels.items():
        if len(alone := np.setdiff1d(numbers, labels["train"])):
            raise UserError(
                f"{root}: class '{classes[alone[0]]}' is in {split} but not in train: add pictures of it to train, or "
                f"remove it from {split}"
            )


def _encoded(shards: Sequence[_Shard], labels: np.ndarray) -> Encoded:
    def pictures() -> Iterator[Source]:
        for shard in shards:
            yield from shard.pictures()

    return Encoded(labels, pictures)


def _name(root: Path, classes: tuple[str, ...], splits: dict[str, Encoded]) -> str:
    """The folder's name; all of CIFAR-10 re-encoded as JPEG is named as such, since it is harder."""
    counts = {split: len(encoded.labels) for split, encoded in splits.items()}
    if classes == CIFAR10 and counts == {"train": 50_000, "test": 10_000}:
        _, first = next(splits["train"].pictures())
        if isinstance(first, bytes) and first.startswith(b"\xff\xd8"):
            return "CIFAR-10 (JPEG)"
    path = root.resolve()
    return path.stem if path.is_file() else path.name
