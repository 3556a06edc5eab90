"""Which columns of a parquet file hold the pictures and the labels, and what its schema calls the classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirtytwo.data.layout import listed
from thirtytwo.errors import UserError
from thirtytwo.files import JSON_ERRORS, parse_json

if TYPE_CHECKING:
    import pyarrow

IMAGES = ("image", "images", "img", "picture", "photo")
LABELS = ("label", "labels", "fine_label", "target", "class", "targets", "category", "y")


@dataclass(frozen=True)
class Columns:
    """The columns that are read.

    Attributes:
        image: the pictures, encoded.
        label: their labels.
        names: the class names of labels 0 to K-1, where the schema has them.
        other_images: the other columns of pictures.
        other_labels: the other columns that are called like labels, or have class names.
    """

    image: str
    label: str
    names: tuple[str, ...]
    other_images: tuple[str, ...]
    other_labels: tuple[str, ...]

    def __str__(self) -> str:
        def chosen(what: str, name: str, others: Sequence[str], key: str) -> str:
            return f"{what} are column '{name}'" + (f", not {listed(others)} ({key} chooses)" if others else "")

        images = chosen("pictures", self.image, self.other_images, "data.image_column")
        return f"{images}; {chosen('labels', self.label, self.other_labels, 'data.label_column')}"


def choose(schema: "pyarrow.Schema", path: Path, image: str | None = None, label: str | None = None) -> Columns:
    """The columns called ``image`` and ``label``, else those whose names or descriptions by Hugging Face say so.

    Raises UserError, naming the file, where there is none or the choice would be a guess, and for columns of another
    type.
    """
    types = {field.name: field.type for field in schema}
    features = _features(schema.metadata or {}, path)
    pictures = of_pictures(schema)
    described = [name for name in pictures if _kind(features.get(name)) == "Image"]
    image = image or next(iter((*_called(IMAGES, pictures), *_alone(described), *_alone(pictures))), None)
    if image is None:
        why = "several columns" if pictures else "no column"
        of = f"({listed(pictures)})" if pictures else f"({{bytes, path}}) among {listed(types)}"
        raise UserError(f"{path}: {why} of pictures {of}: set data.image_column to the one to train on")
    _require(image, types, _holds_pictures, "encoded pictures", path, "data.image_column")
    others = [name for name in types if name != image]
    classes = [name for name in others if _kind(features.get(name)) == "ClassLabel"]
    called = _called(LABELS, others)
    label = label or next(iter((*called, *_alone(classes))), None)
    if label is None:
        why = f"several columns of labels ({listed(classes)})" if classes else f"no column of labels ({listed(LABELS)})"
        raise UserError(f"{path}: {why} among {listed(types)}: set data.label_column to the one to train on")
    _require(label, types, _holds_labels, "one whole number or text per row", path, "data.label_column")
    for name in (image, label):
        if schema.names.count(name) > 1:
            raise UserError(f"{path}: {schema.names.count(name)} columns are called '{name}': rename all but one")
    return Columns(
        image, label, _names(features.get(label), label, path),
        tuple(name for name in pictures if name != image),
        tuple(dict.fromkeys(name for name in (*called, *classes) if name != label)),
    )  # fmt: skip


def of_pictures(schema: "pyarrow.Schema") -> list[str]:
    """The names of the columns that hold encoded pictures, by their types."""
    return list(dict.fromkeys(field.name for field in schema if _holds_pictures(field.type)))


def _called(known: Sequence[str], names: Sequence[str]) -> list[str]:
    """Those of ``names`` that are ``known``, in any case, in the order in which they are known."""
    return [name for word in known for name in names if name.lower() == word]


def _alone(names: Sequence[str]) -> Sequence[str]:
    return names if len(names) == 1 else ()


def _require(name: str, types: Mapping[str, Any], holds: Any, expected: str, path: Path, key: str) -> None:
    if name not in types:
        raise UserError(f"{path}: no column '{name}' among {listed(types)}: set {key} to one of them")
    if not holds(types[name]):
        raise UserError(
            f"{path}: column '{name}' holds {types[name]}, expected {expected}: set {key} to another column"
        )


def _holds_pictures(type_: Any) -> bool:
    """Whether a pyarrow type is that of encoded pictures: their bytes, alone or in a struct."""
    import pyarrow.types as is_

    if is_.is_struct(type_):
        place = type_.get_field_index("bytes")
        return place >= 0 and _is_bytes(type_.field(place).type)
    return _is_bytes(type_)


def _is_bytes(type_: Any) -> bool:
    import pyarrow.types as is_

    return bool(is_.is_binary(type_) or is_.is_large_binary(type_) or is_.is_binary_view(type_))


def _holds_labels(type_: Any) -> bool:
    import pyarrow.types as is_

    plain = type_.value_type if is_.is_dictionary(type_) else type_
    return is_.is_integer(plain) or is_text(plain) or is_.is_null(plain)  # a column of nulls is said to have no labels


def is_text(type_: Any) -> bool:
    """Whether a pyarrow type is one of its types of text."""
    import pyarrow.types as is_

    return bool(is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_))


def _features(metadata: Mapping[bytes, bytes], path: Path) -> dict[str, Any]:
    """What Hugging Face's metadata say about each column; nothing where there are none."""
    try:
        value = parse_json(metadata.get(b"huggingface", b"{}"))
    except JSON_ERRORS as error:
        raise _damaged(path, str(error)) from None
    for key in ("info", "features"):
        if not isinstance(value, dict):
            raise _damaged(path, "it is no object with info and features")
        value = value.get(key, {})
    if not isinstance(value, dict):
        raise _damaged(path, "its features are no object")
    return value


def _kind(feature: Any) -> str | None:
    kind = feature.get("_type") if isinstance(feature, dict) else None
    return kind if isinstance(kind, str) else None


def _names(feature: Any, label: str, path: Path) -> tuple[str, ...]:
    names = feature.get("names") if isinstance(feature, dict) else None
    if names is None:
        return ()
    plain = isinstance(names, list) and all(isinstance(name, str) and name.isprintable() for name in names)
    if not plain or len({*names}) < len(names):  # half of a surrogate pair, for one, cannot be printed
        raise _damaged(path, f"the class names of '{label}' are no list of different names")
    return tuple(names)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path}: the metadata 'huggingface' in its schema are damaged ({reason}): write the file again with a whole "
        "ClassLabel, or without these metadata"
    )
