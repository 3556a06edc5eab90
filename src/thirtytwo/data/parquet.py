"""Hugging Face's parquet layout: an image column of ``{bytes, path}``, a label column, class names in the schema."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thirtytwo.data.decoded import Encoded, Gathered, Source
from thirtytwo.data.layout import SPLITS, split_named
from thirtytwo.errors import UserError
from thirtytwo.paths import natural

if TYPE_CHECKING:
    import pyarrow.parquet

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_LABELS = ("label", "labels", "fine_label", "target", "class")


def find(root: Path) -> list[Path]:
    """The parquet files of a folder, or of its subfolders down to the second level, sorted."""
    for pattern in ("*.parquet", "*/*.parquet", "*/*/*.parquet"):
        if files := sorted(path for path in root.glob(pattern) if not path.name.startswith(".")):
            return files
    return []


def gather(root: Path) -> Gathered:
    """The pictures of a parquet file or folder; nothing is decoded yet.

    A file belongs to the split that its name says (``train-00000-of-00001.parquet``), else to the one that its folder
    is named after, else to train. Class names come from the schema's Hugging Face metadata; without it they are
    the sorted labels. Raises UserError for a damaged file, for missing columns and for labels out of range.
    """
    files = find(root) if root.is_dir() else [root]
    shards: dict[str, list[_Shard]] = {}
    for path in files:
        shards.setdefault(_split_of(path), []).append(_Shard(path))
    if "train" not in shards:
        raise UserError(f"{root} holds parquet files for {' and '.join(shards)} only: expected train-*.parquet")
    configs = {shard.config for split in shards.values() for shard in split}
    if len(configs) > 1:
        raise UserError(f"{root} holds several sets ({', '.join(map(str, sorted(configs)))}): name one of them")
    classes = _classes([shard for split in shards.values() for shard in split], root)
    splits = {split: _encoded(shards[split], classes) for split in SPLITS if split in shards}
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return Gathered(_name(root, classes, splits), root, classes, splits, stats)


class _Shard:
    """One parquet file: its columns, its labels, and its pictures a few at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path.parent.parent if split_named(path.parent.name) else path.parent
        with self._open() as file:
            schema = file.schema_arrow
            described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
            self.features: dict[str, Any] = described.get("info", {}).get("features", {})
            self.image = self._image_column(schema)
            self.label = self._label_column(schema)
            self.labels = self._read_labels(file)

    def pictures(self) -> Iterator[Source]:
        with self._open() as file:
            row = 0
            for batch in file.iter_batches(batch_size=256, columns=[self.image]):
                column = batch.column(0)
                encoded = column.field("bytes") if column.type.num_fields else column
                for value in encoded.to_pylist():
                    yield f"{self.path} row {row}", value or b""
                    row += 1

    def _open(self) -> "_Reading":
        return _Reading(self.path)

    def _image_column(self, schema: Any) -> str:
        import pyarrow

        for field in schema:
            struct = pyarrow.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
            if struct or pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type):
                return str(field.name)
        raise UserError(f"{self.path}: no column of pictures ({{bytes, path}}) among {', '.join(schema.names)}")

    def _label_column(self, schema: Any) -> str:
        described = [name for name, feature in self.features.items() if _names(feature) and name in schema.names]
        for name in (*_LABELS, *described):
            if name in schema.names:
                return name
        raise UserError(f"{self.path}: no column of labels ({', '.join(_LABELS)}) among {', '.join(schema.names)}")

    def _read_labels(self, file: "pyarrow.parquet.ParquetFile") -> np.ndarray:
        column = file.read(columns=[self.label]).column(0)
        if column.null_count:
            raise UserError(f"{self.path}: {column.null_count} rows of '{self.label}' have no label: remove them")
        labels = np.array(column.to_pylist())
        if labels.dtype.kind not in "iuU":
            raise UserError(
                f"{self.path}: column '{self.label}' holds {labels.dtype}, expected one whole number per row"
            )
        return labels


class _Reading:
    """``with _Reading(path) as file``: an open ParquetFile, whose errors name the file in one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "pyarrow.parquet.ParquetFile":
        import pyarrow.parquet

        try:
            self._file = pyarrow.parquet.ParquetFile(self.path)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._damaged(error) from None
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pyarrow

        self._file.close()
        if isinstance(error, pyarrow.ArrowException | OSError | json.JSONDecodeError):
            raise self._damaged(error) from None

    def _damaged(self, error: BaseException) -> UserError:
        text = str(error).partition("\n")[0]
        return UserError(f"{self.path}: truncated, or not a parquet file ({text}): fetch it again")


def _names(feature: Any) -> list[str]:
    return list(feature.get("names", [])) if isinstance(feature, dict) else []


def _split_of(path: Path) -> str:
    return split_named(path.stem) or split_named(path.parent.name) or "train"


def _classes(shards: Sequence[_Shard], root: Path) -> tuple[str, ...]:
    named = {tuple(_names(shard.features.get(shard.label))) for shard in shards}
    if len(named) > 1:
        raise UserError(f"{root}: its parquet files disagree on the class names: name one set of files")
    if classes := next(iter(named)):
        return classes
    found = {str(label) for shard in shards for label in np.unique(shard.labels)}
    return tuple(sorted(found, key=natural))


def _encoded(shards: Sequence[_Shard], classes: tuple[str, ...]) -> Encoded:
    def pictures() -> Iterator[Source]:
        for shard in shards:
            yield from shard.pictures()

    return Encoded(np.concatenate([_numbers(shard, classes) for shard in shards]), pictures)


def _numbers(shard: _Shard, classes: tuple[str, ...]) -> np.ndarray:
    """The labels of one file as int64 in [0, K)."""
    if not _names(shard.features.get(shard.label)):
        position = {name: number for number, name in enumerate(classes)}
        return np.array([position[str(label)] for label in shard.labels], dtype=np.int64)
    labels = shard.labels.astype(np.int64)
    outside = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(outside):
        raise UserError(
            f"{shard.path}: label {labels[outside[0]]} of row {outside[0]} is out of range: "
            f"{len(classes)} classes need labels 0 to {len(classes) - 1}"
        )
    return labels


def _name(root: Path, classes: tuple[str, ...], splits: dict[str, Encoded]) -> str:
    """The folder's name; all of CIFAR-10 re-encoded as JPEG is named as such, since it is harder."""
    counts = {split: len(encoded.labels) for split, encoded in splits.items()}
    if classes == CIFAR10 and counts == {"train": 50_000, "test": 10_000}:
        _, first = next(splits["train"].pictures())
        if isinstance(first, bytes) and first.startswith(b"\xff\xd8"):
            return "CIFAR-10 (JPEG)"
    path = root.resolve()
    return path.stem if path.is_file() else path.name
