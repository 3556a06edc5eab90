"""Pictures of every kind as 8-bit pixels: what a person sees in a viewer, upright, in grey or RGB. Without torch.

Resampling is Pillow's bilinear filter, whose support grows with the scale (antialiased). It never leaves the range of
the pixels it averages; Lanczos is sharper, but draws halos around the strokes of digits and icons.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from thirtytwo.data import formats
from thirtytwo.errors import UserError

Fit = Literal["pad", "crop", "stretch"]
Size = tuple[int, int]
"""(height, width) in pixels."""

MAX_PIXELS = 89_478_485
"""Larger pictures are refused before they are decoded: Pillow's own threshold, a quarter of a GiB as RGB."""

SMALL = 64
"""Sets of pictures of one size keep it if neither side exceeds this."""

VERSION = 1
"""Increased whenever `decode` gives different pixels for the same file, so that no older cache is used."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
# What Pillow's readers raise on damaged files, besides OSError (found by flipping bytes in files of each format).
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError, TypeError, ArithmeticError,
    AttributeError, RuntimeError, MemoryError, AssertionError,
)  # fmt: skip


class BadPicture(UserError):
    """A picture that cannot be read. The message is ``name: reason``."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadPicture"], tuple[str, str]]:
        return BadPicture, (self.name, self.reason)


class Unreadable(UserError):
    """A set with pictures that cannot be read, where none may be left out; ``first`` is one of them."""

    def __init__(self, first: BadPicture, message: str) -> None:
        super().__init__(message)
        self.first = first


@dataclass(frozen=True)
class Header:
    """What a picture's header says about it.

    Attributes:
        size: (height, width) once upright.
        mode: Pillow's name for the pixel format.
        grey: whether it has no colour, by its mode or by its palette.
        turned: whether EXIF says that it is on its side, upside down or mirrored.
        transparent: whether it has an alpha channel or a transparent colour.
        animated: whether it has more frames than the one that is used.
    """

    size: Size
    mode: str
    grey: bool
    turned: bool
    transparent: bool
    animated: bool


def decode(
    source: Path | bytes,
    *,
    size: Size | None = None,
    channels: Literal[1, 3] | None = None,
    fit: Fit = "pad",
    name: str | None = None,
    invert: bool = False,
) -> np.ndarray:
    """Read a picture as uint8 (C, H, W). The same file gives the same pixels every time.

    Args:
        source: a file, or an encoded picture's bytes.
        size: (height, width) to resize to, antialiased; None keeps the picture's own.
        channels: 1 is grey (ITU-R 601 luma), 3 is RGB; None is grey for grey pictures and RGB for others.
        fit: how a picture of a different shape is made to fit: black bars, cut edges, or distortion.
        name: what messages call it; the file's path by default.
        invert: whether dark and light are swapped; the bars stay black.

    EXIF rotation is applied. Transparency is put on a white background. 16-bit pixels are scaled from 0..65535,
    float pixels from 0..1 or 0..255 or, failing both, from their own range. The first frame of an animation is used.

    Raises BadPicture, a UserError, for a file that is missing, empty, truncated, damaged, not a picture, or larger than
    `MAX_PIXELS`. Never writes to the file.
    """
    with _opened(source, name) as image:
        if size is not None:
            # A JPEG decoder can halve the sides as it goes; twice the target leaves the filter enough to average.
            image.draft(None, (2 * max(size), 2 * max(size)))
        image.load()
        upright = _UPRIGHT.get(_orientation(image))
        pixels = _eight_bit_image(image, channels)
        if upright is not None:
            pixels = pixels.transpose(upright)
    if invert:
        pixels = ImageOps.invert(pixels)
    if size is not None:
        pixels = _fitted(pixels, size, fit)
    array = np.array(pixels)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def header(source: Path | bytes, *, name: str | None = None) -> Header:
    """Read a picture's header only. Raises BadPicture as `decode` does, but does not see damaged pixels."""
    with _opened(source, name) as image:
        # A PNG's EXIF may follow its pixels, so that reading it would decode them; a TIFF's size is upright already.
        known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        orientation = _orientation(image) if known else 1
        size = (image.width, image.height) if orientation >= 5 else (image.height, image.width)
        return Header(
            size=size,
            mode=image.mode,
            grey=_is_grey(image),
            turned=orientation in _UPRIGHT,
            transparent=image.has_transparency_data,
            animated=bool(getattr(image, "is_animated", False)) or image.info.get("frames", 1) > 1,
        )


def content(source: Path | bytes, *, name: str | None = None) -> bytes:
    """What identifies a picture, whatever size it is trained at: its own pixels; of a large JPEG, what they are in.

    Small pictures may also come as arrays, so theirs are the pixels alone; of larger ones the shape belongs to it. A
    photograph would have to be decoded at its full size for its pixels, where `decode` lets a JPEG's decoder shrink it:
    its compressed pixels, without comments, ratings and whatever else its file says about them, stand for them. Raises
    BadPicture as `decode` does.
    """
    with _opened(source, name) as image:
        large, jpeg, orientation = max(image.size) > SMALL, image.format in ("JPEG", "MPO"), _orientation(image)
    if large and jpeg:
        turned = orientation if orientation in _UPRIGHT else 1
        return bytes([turned]) + _compressed(encoded(source))
    pixels = decode(source, name=name)
    return str(pixels.shape).encode() * large + pixels.tobytes()


def encoded(source: Path | bytes) -> bytes:
    """The bytes of a picture's file."""
    return source.read_bytes() if isinstance(source, Path) else source


def _compressed(jpeg: bytes) -> bytes:
    """Of a JPEG's segments those that its pixels depend on: not those of applications and comments.

    Adobe's stays, and of JFIF's that there is one: they decide how colours are stored.
    """
    kept, at = [], 2
    while jpeg[at : at + 1] == b"\xff" and jpeg[at + 1 : at + 2] != b"\xda":  # until the first scan
        marker, length = jpeg[at + 1 : at + 2], int.from_bytes(jpeg[at + 2 : at + 4])
        if marker == b"\xff":  # any number of these may stand before a marker
            at += 1
            continue
        if length < 2:
            break
        segment = jpeg[at : at + 2 + length]
        if marker == b"\xe0":
            kept.append(segment[4:9])
        elif marker == b"\xee" or not (b"\xe0" <= marker <= b"\xef" or marker == b"\xfe"):
            kept.append(segment)
        at += 2 + length
    return b"".join([*kept, jpeg[at:]])


def resize(images: np.ndarray, size: Size, fit: Fit = "pad") -> np.ndarray:
    """Resize uint8 (N, C, H, W) to (N, C, *size): the same pixels as `decode` returns for this picture in a file."""
    resized = np.empty((len(images), images.shape[1], *size), dtype=np.uint8)
    for i, image in enumerate(images):
        pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
        fitted = np.asarray(_fitted(Image.fromarray(pixels), size, fit))
        resized[i] = fitted if fitted.ndim == 2 else fitted.transpose(2, 0, 1)
    return resized


def convert_channels(images: np.ndarray, channels: Literal[1, 3]) -> np.ndarray:
    """uint8 (N, 1 or 3, H, W) as grey (1) or RGB (3): the same pixels as `decode` gives."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=1)
    grey = np.empty((len(images), 1, *images.shape[2:]), dtype=np.uint8)
    # Pillow's fixed-point weights of ITU-R 601, a block at a time: the sums need 32 bits.
    for start in range(0, len(images), 4096):
        red, green, blue = np.moveaxis(images[start : start + 4096].astype(np.int32), 1, 0)
        grey[start : start + 4096, 0] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return grey


def choose_size(sizes: set[Size], size: int | None) -> Size:
    """The (height, width) of a set: the one asked for, else the images' own if it is one and small, else 32 x 32."""
    if size is not None:
        return size, size
    own = next(iter(sizes))
    return own if len(sizes) == 1 and max(own) <= SMALL else (32, 32)


def white(array: np.ndarray) -> float:
    """What white is in pixels of this type: 255 in bytes, 65,535 in wider integers, 1 in floats that are no larger."""
    if array.dtype.kind in "bf":
        return 1.0 if array.max() <= 1 else 255.0
    return 255.0 if array.dtype == np.uint8 else 65535.0


def eight_bit(array: np.ndarray) -> np.ndarray:
    """Pixels of any number type as uint8, scaled as `decode` documents. Raises ValueError for NaN and infinity."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("has pixels that are not finite numbers")
    low, high, usual = float(array.min()), float(array.max()), white(array)
    if low >= 0 and high <= usual:
        low, high = 0.0, usual
    return np.rint((array - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)


@contextmanager
def _opened(source: Path | bytes, name: str | None) -> Iterator[Image.Image]:
    """Open a picture; any error inside the block becomes BadPicture."""
    name = name or (str(source) if isinstance(source, Path) else "picture")
    _silence_pillow()
    try:
        with _open(source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise BadPicture(name, f"larger than {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise BadPicture(name, _unidentified(source)) from None
    except FileNotFoundError:
        raise BadPicture(name, "no such file") from None
    except IsADirectoryError:
        raise BadPicture(name, "a folder, not a picture") from None
    except PermissionError:
        raise BadPicture(name, "no permission to read it") from None
    except _BROKEN as error:
        text = str(error) or type(error).__name__
        raise BadPicture(name, "truncated" if "truncated" in text.lower() else f"damaged ({text})") from None


def _open(source: Path | bytes) -> Image.Image:
    try:
        return Image.open(source if isinstance(source, Path) else BytesIO(source), formats=_formats())
    except UnidentifiedImageError:
        if formats.DICOM.installed and formats.of_content(source) is formats.DICOM:
            return formats.open_dicom(source, MAX_PIXELS)
        raise


def _unidentified(source: Path | bytes) -> str:
    """Why Pillow cannot tell what this is."""
    if (source.stat().st_size if isinstance(source, Path) else len(source)) == 0:
        return "empty (0 bytes)"
    found = formats.of_content(source)
    if isinstance(found, formats.Extra) and not found.installed:
        return f"a {found.name} picture, which `pip install {found.package}` makes readable"
    return "not a picture"


@cache
def _formats() -> tuple[str, ...]:
    return formats.pillow_formats()


@cache
def _silence_pillow() -> None:
    """Silence warnings about what `decode` handles or refuses. Done once, since filters are shared by threads."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # Without any handler, its errors are lines without a file's name.
    logging.getLogger("PIL").addHandler(logging.NullHandler())


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:  # damaged EXIF does not make the pixels bad
        return 1


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA") and (palette := image.getpalette("RGB")):
        return palette[0::3] == palette[1::3] == palette[2::3]
    return image.mode in _GREY_MODES or image.mode.startswith("I;16")


def _eight_bit_image(image: Image.Image, channels: int | None) -> Image.Image:
    """Mode L or RGB, transparency put on a white background."""
    mode = "L" if channels == 1 or (channels is None and _is_grey(image)) else "RGB"
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(eight_bit(np.asarray(image)))
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _fitted(image: Image.Image, size: Size, fit: Fit) -> Image.Image:
    height, width = size
    if image.size == (width, height):
        return image
    filter_ = Image.Resampling.BILINEAR
    if fit == "stretch":
        return image.resize((width, height), filter_)
    scales = width / image.width, height / image.height
    if fit == "crop":
        cut_width = min(width / max(scales), image.width)
        cut_height = min(height / max(scales), image.height)
        left, top = (image.width - cut_width) / 2, (image.height - cut_height) / 2
        return image.resize((width, height), filter_, box=(left, top, left + cut_width, top + cut_height))
    inner = max(1, round(image.width * min(scales))), max(1, round(image.height * min(scales)))
    framed = Image.new(image.mode, (width, height))
    framed.paste(image.resize(inner, filter_), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return framed
