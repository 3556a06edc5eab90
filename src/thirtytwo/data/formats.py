"""Which files are pictures: by their names, else by their first bytes; and the formats that an extra package reads."""

import os
import re
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".avif", ".jp2",
})  # fmt: skip
"""Files whose names end in one of these count as pictures."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000", "TGA")
"""Pillow's readers that may open a file, whatever its name. The others are left out: that for EPS runs Ghostscript."""

_HEAD = 132
"""Bytes at the beginning of a file that tell what it is."""
_STARTS = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\1\0", b"\xffO\xffQ",
    b"\0\0\0\x0cjP  ",
)  # fmt: skip
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


@dataclass(frozen=True)
class Extra:
    """A format of pictures that a package beyond our own dependencies reads."""

    name: str
    package: str
    module: str
    suffixes: frozenset[str]

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        return _is_there(self.module)


HEIC = Extra("HEIC", "pillow-heif", "pillow_heif", frozenset({".heic", ".heif", ".hif"}))
DICOM = Extra("DICOM", "pydicom", "pydicom", frozenset({".dcm", ".dicom"}))
EXTRAS = (HEIC, DICOM)


def pillow_formats() -> tuple[str, ...]:
    """Those of Pillow's readers that may open a file, and that this Pillow has."""
    Image.init()
    if HEIC.installed:
        _register_heif()
    return tuple(name for name in (*_FORMATS, "HEIF") if name in Image.OPEN)


def suffix_of(name: str) -> str:
    """The suffix of a file's name, with its dot, in lower case; "" if it has none."""
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""


def is_picture(path: Path | os.DirEntry[str]) -> bool | Extra:
    """Whether a file counts as a picture; an `Extra` if it would with that package, which is not installed.

    Its suffix decides. A file without one (``0001``, ``image.12``), or with that of an extra's format, is judged by its
    first bytes. A hidden file never counts.
    """
    suffix = suffix_of(path.name)
    if path.name.startswith("."):
        return False
    if suffix in SUFFIXES:
        return True
    extra = next((extra for extra in EXTRAS if suffix in extra.suffixes), None)
    if extra is None and suffix and not suffix[1:].isdigit():
        return False
    found = (path.is_file() and of_content(Path(path))) or extra or False
    return found.installed or found if isinstance(found, Extra) else found


def of_content(source: Path | bytes) -> bool | Extra:
    """Whether a file or an encoded picture begins like one that Pillow reads; an `Extra` if like one of its format."""
    head = source[:_HEAD] if isinstance(source, bytes) else _head(source)
    if head[4:8] == b"ftyp":
        box = head[: int.from_bytes(head[:4], "big")]
        brands = {box[i : i + 4] for i in range(8, len(box), 4)}
        return HEIC if brands & _HEIC_BRANDS and not brands & _AVIF_BRANDS else bool(brands & _AVIF_BRANDS)
    if head[128:] == b"DICM":
        return DICOM
    riff = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    bmp = head[:2] == b"BM" and head[6:10] == bytes(4)
    return head.startswith(_STARTS) or riff or bmp or bool(re.match(rb"P[1-6]\s+[#\d]", head))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:  # of a file that opens and then cannot be read, Python does not say the name
        raise OSError(error.errno, error.strerror, str(path)) from None


def open_dicom(source: Path | bytes, most_pixels: int) -> Image.Image:
    """The first frame of a DICOM file as 8-bit grey or RGB, as a viewer shows it.

    Stored values are rescaled, and windowed where the file has a window or a table; otherwise 8-bit values are kept and
    deeper ones scaled from the frame's own range. MONOCHROME1 is inverted. ``info["frames"]`` is their number. Raises
    Image.DecompressionBombError above ``most_pixels``, and for damaged files what Pillow's readers raise.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    _silence_pydicom()
    try:
        return _first_frame(source, most_pixels)
    except (BytesLengthException, InvalidDicomError) as error:
        raise ValueError(str(error)) from None


def _first_frame(source: Path | bytes, most_pixels: int) -> Image.Image:
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    dataset = pydicom.dcmread(BytesIO(source) if isinstance(source, bytes) else source)
    if int(dataset.Rows) * int(dataset.Columns) > most_pixels:
        raise Image.DecompressionBombError
    frames = int(dataset.get("NumberOfFrames") or 1)
    stored = pixel_array(dataset, index=0)
    kind = str(dataset.PhotometricInterpretation)
    if kind.startswith("MONOCHROME"):
        shares = _windowed(np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64), dataset)
        pixels = np.rint((1 - shares if kind == "MONOCHROME1" else shares) * 255)
    else:
        colours = apply_color_lut(stored, dataset) if kind == "PALETTE COLOR" else stored
        pixels = colours if colours.dtype == np.uint8 else colours // 257
    image = Image.fromarray(pixels.astype(np.uint8))
    image.info["frames"] = frames
    return image


def _windowed(values: np.ndarray, dataset: Any) -> np.ndarray:
    """Values of a grey frame as shares of white in 0..1 (DICOM PS3.3, C.11.2)."""
    from pydicom.pixels import apply_voi_lut

    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if dataset.get("VOILUTSequence"):
        table = apply_voi_lut(values.astype(np.int64), dataset, prefer_lut=True)
        return np.asarray(table / (2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1)).clip(0, 1)
    if centre is None or width is None or width <= 0:
        low, high = (0.0, 255.0) if int(dataset.BitsStored) <= 8 else (values.min(), values.max())
        return ((values - low) / ((high - low) or 1.0)).clip(0, 1)
    function = dataset.get("VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))
    if function == "LINEAR":  # the standard's own half pixel
        centre, width = centre - 0.5, max(width - 1, 1e-9)
    return ((values - centre) / width + 0.5).clip(0, 1)


def _first(value: Any) -> float | None:
    """The first of a DICOM element's values: a file may offer several windows."""
    if value is None or value == "":
        return None
    return float(value[0] if not isinstance(value, str) and hasattr(value, "__getitem__") else value)


@cache
def _is_there(module: str) -> bool:
    return find_spec(module) is not None


@cache
def _silence_pydicom() -> None:
    """It warns of every oddity of a file that it reads all the same."""
    warnings.filterwarnings("ignore", module=r"pydicom\.")


@cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
