"""Any data source, by name or path, as image sets of one size."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from thirtytwo import memory
from thirtytwo.data import cifar, decoded, folder, idx, npz, parquet, picture, sources, svhn
from thirtytwo.data.decoded import Gathered
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.layout import listed
from thirtytwo.data.picture import Fit, Size
from thirtytwo.data.tree import walk
from thirtytwo.errors import UnknownName, UserError, did_you_mean, nearest
from thirtytwo.paths import as_path
from thirtytwo.spec import Spec
from thirtytwo.words import plural

Layout = Literal["parquet", "npz", "idx", "cifar", "svhn", "folder"]

_FILES: dict[Layout, str] = {
    "parquet": "parquet files with pictures", "idx": "MNIST's idx files", "cifar": "CIFAR's batches",
    "svhn": "SVHN's .mat files",
}  # fmt: skip
"""What the files are by which a folder's layout is recognised."""


def load(
    source: str | Path,
    *,
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    fit: Fit = "pad",
    bad_images: Literal["fail", "skip"] = "fail",
    memory_limit: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    by_bytes: bool = False,
) -> Official:
    """Load a source in its own official splits.

    >>> from thirtytwo import load
    >>> len(load("digits").train)
    1797

    Args:
        source: a registered name, with arguments if it takes any (``emnist(split="letters")``), or a path; a `Path`
            is never a name.
        size: height and width in pixels. None keeps the images' own size if it is one and at most 64, else takes 32.
        channels: 1 (grey) or 3 (RGB). None keeps what the source has; pictures in files are grey if all of them are.
        fit: how a picture that is not square becomes square.
        bad_images: whether a picture that cannot be read raises UserError, or is left out with a note.
        memory_limit: bytes of decoded pictures above which they are memory-mapped; None is a quarter of what is free.
        image_column: which column of parquet files has the pictures; None finds it.
        label_column: which column of parquet files has the labels; None finds it.
        by_bytes: whether pictures of more than 64 pixels are told apart by their files' bytes, as in version 2 of the
            splits.

    Raises UserError, in one line, for an unknown name, a path of unknown layout, and damaged files.
    """
    path, may_be_name, source = as_path(source), isinstance(source, str), str(source)
    if may_be_name and is_name(source):
        _require_parquet(source, source, image_column, label_column)
        settings = {"size": size, "channels": channels, "fit": fit, "bad_images": bad_images}
        official = sources.build(source, **settings)
    elif not path.exists():
        raise _unknown(source, path, may_be_name=may_be_name)
    else:
        try:
            layout = recognise(path)
            if layout in ("folder", "parquet"):
                gathered = gather(path, layout, image_column, label_column)
                official = decoded.decode_all(
                    gathered, size=size, channels=channels, fit=fit, bad_images=bad_images,
                    memory_limit=memory_limit, by_bytes=by_bytes,
                )  # fmt: skip
            else:
                _require_parquet(source, layout, image_column, label_column)
                official = _read_arrays(path, layout)
                official = replace(official, notes=(*official.notes, *_left_out(path, layout)))
        except OSError as error:
            raise UserError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    _require_images(official, source)
    return _fitted(official, size, channels, fit)


def recognise(path: Path) -> Layout:
    """The layout of a file or folder, by its content.

    Raises UserError for a file of unknown layout, and for a folder in which class folders and files of another layout
    lie side by side.
    """
    if path.is_dir():
        return _of_folder(path)
    if cifar.find(path):
        return "cifar"
    if path.suffix == ".mat" and svhn.find(path.parent):
        return "svhn"
    if (suffix := path.suffix.lower()) in (".npz", ".parquet"):
        return "npz" if suffix == ".npz" else "parquet"
    if idx.find(path.parent) and "ubyte" in path.name:
        return "idx"
    raise UserError(f"{path} is a file of unknown layout. Expected {folder.EXPECTED}")


def _of_folder(path: Path) -> Layout:
    layout, files = _recognised(path)
    pictured = [folder for folder in walk(path).all() if folder.pictures or folder.unread] if files else []
    if pictured and layout == "parquet" and not (files := [file for file in files if parquet.holds_pictures(file)]):
        return "folder"
    classes = [folder.path for folder in pictured if folder.path != path]
    if len(classes) < 2:
        return layout
    one = len(files) == 1 and layout != "cifar"  # a batch alone does not name its classes
    raise UserError(
        f"{path} holds class folders ({_within(path, classes)}) and {_FILES[layout]} ({_within(path, files)}): "
        + (f"give data.source={files[0]}, or move that file elsewhere" if one else "move one of the two elsewhere")
    )


def _recognised(path: Path) -> tuple[Layout, list[Path]]:
    """The layout of a folder, and the files that say so; none for class folders."""
    if batches := cifar.find(path):
        return "cifar", cifar.files_in(batches)
    finds: dict[Layout, Callable[[Path], list[Path]]] = {"svhn": svhn.find, "idx": idx.find, "parquet": parquet.find}
    return next(((layout, files) for layout, find in finds.items() if (files := find(path))), ("folder", []))


def _within(root: Path, paths: Iterable[Path], most: int = 4) -> str:
    return listed((str(path.relative_to(root)) for path in paths), most)


def _left_out(path: Path, layout: Layout) -> tuple[str, ...]:
    """A note on pictures beside the files of another layout, in fewer folders than make classes."""
    pictures = [Path(file) for file, _, _ in walk(path).files] if path.is_dir() else []
    names = _within(path, pictures, most=2)
    return (f"left out {plural(len(pictures), 'picture')} beside {_FILES[layout]}: {names}",) if pictures else ()


def gather(
    path: Path, layout: Layout | None = None, image_column: str | None = None, label_column: str | None = None
) -> Gathered:
    """The pictures of class folders or parquet files, not decoded yet. Raises UserError for sources of arrays."""
    layout = layout or recognise(path)
    if layout == "parquet":
        gathered = parquet.gather(path, image_column, label_column)
        return replace(gathered, notes=(*gathered.notes, *_left_out(path, layout)))
    _require_parquet(str(path), layout, image_column, label_column)
    if layout == "folder":
        return folder.gather(path)
    raise UserError(f"{path} holds arrays ({layout}), not pictures: nothing to scan")


def _require_parquet(source: str, what: str, image_column: str | None, label_column: str | None) -> None:
    """Raise UserError if columns are named where there are none."""
    for key, column in (("image_column", image_column), ("label_column", label_column)):
        if column is not None:
            raise UserError(f"data.{key}={column} is for parquet files, which {source} is not ({what}): leave it out")


def _read_arrays(path: Path, layout: Layout) -> Official:
    if layout == "npz":
        return npz.read(path)
    if layout == "idx":
        return idx.read(path if path.is_dir() else path.parent)
    if layout == "svhn":
        return svhn.read_folder(path if path.is_dir() else path.parent)
    return cifar.read(cifar.find(path) or path)


def is_name(source: str) -> bool:
    """Whether ``source`` is a registered name, with or without arguments.

    Names take precedence over folders of the same name: ``./digits`` is the folder.
    """
    if any(mark in source.partition("(")[0] for mark in "/\\~."):
        return False
    return source.partition("(")[0].strip() in sources


def _unknown(source: str, path: Path, *, may_be_name: bool) -> UserError:
    if not may_be_name or any(mark in source for mark in "/\\~."):
        return UserError(f"{path}: no such file or folder: restore it, or name another")
    name = Spec.parse(source).name
    hint = did_you_mean(name, sources.names())
    if nearest(name, sources.names()) is None:
        hint = f": set data.source to your folder of pictures{hint}"
    return UnknownName(f"'{source}' is neither a data source nor a folder here{hint}")


def _require_images(official: Official, source: str) -> None:
    """Raise UserError for a split without images, and for classes that are too few or cannot be told apart."""
    for split in ("train", "val", "test"):
        image_set: ImageSet | None = getattr(official, split)
        if image_set is not None and not len(image_set):
            raise UserError(f"{source} holds no images of {split}: add some")
    classes = official.train.classes
    if len(classes) < 2:
        raise UserError(f"{source} holds 1 class ('{classes[0]}'): a classifier needs two or more")
    name, count = Counter(classes).most_common(1)[0]
    if count > 1:
        raise UserError(f"{source}: {count} classes are called {name!r}: give each a name of its own")
    for name in classes:
        if "\0" in name:  # a text array drops them at its end, so that predictions would be of other classes
            raise UserError(f"{source}: the class name {name!a} has a NUL character: rename it")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{source}: the class name {name!a} is not UTF-8: rename it") from None


def _fitted(official: Official, size: int | None, channels: Literal[1, 3] | None, fit: Fit) -> Official:
    """The same images in one size and depth; what was changed is noted. What fits already is left alone."""
    sets = official.sets.values()
    target = picture.choose_size({image_set.size for image_set in sets}, size)
    depth = channels or max(image_set.channels for image_set in sets)
    notes = list(official.notes)
    if any(image_set.size != target for image_set in sets):
        count = sum(map(len, sets))
        memory.require(  # as they are resized, and again as they are cut
            2 * count * depth * target[0] * target[1],
            f"{plural(count, 'image')} of {target[0]}x{target[1]} pixels need",
            "set data.size lower",
        )
        own = " and ".join(sorted({f"{h}x{w}" for h, w in (image_set.size for image_set in sets)}))
        notes.append(f"all images resized from {own} to {target[0]}x{target[1]} ({fit})")
    if any(image_set.channels != depth for image_set in sets):
        notes.append(f"all images converted {'from RGB to grey' if depth == 1 else 'from grey to RGB'}")

    def change(image_set: ImageSet) -> ImageSet:
        return _changed(image_set, target, 1 if depth == 1 else 3, fit)

    return Official(
        official.name,
        change(official.train),
        None if official.val is None else change(official.val),
        None if official.test is None else change(official.test),
        tuple(notes),
    )


def _changed(image_set: ImageSet, size: Size, channels: Literal[1, 3], fit: Fit) -> ImageSet:
    """Channels first, as `picture.decode` does, so that the pixels are those of the same picture in a file."""
    if (image_set.size, image_set.channels) == (size, channels):
        return image_set
    images = picture.convert_channels(image_set.images.numpy(), channels)
    images = images if image_set.size == size else picture.resize(images, size, fit)
    return replace(image_set, images=torch.from_numpy(images), digests=image_set.content())
