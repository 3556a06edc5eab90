"""What is done to each picture of a source, in whichever process. Without torch."""

from pathlib import Path
from typing import Literal

import numpy as np

from thirtytwo.data import picture
from thirtytwo.data.content import DIGEST, content_digests
from thirtytwo.data.picture import BadPicture, Fit, Header, Size

Source = tuple[str, str | bytes]
"""What messages call a picture, and its path or its bytes: a `Path` is slow to make and to hand to a process."""


def _file(source: Source) -> Path | bytes:
    return source[1] if isinstance(source[1], bytes) else Path(source[1])


def header(source: Source) -> Header:
    """The header of a picture. Raises BadPicture, as everything here does."""
    return picture.header(_file(source), name=source[0])


def pixels(
    source: Source, size: Size | None, channels: Literal[1, 3] | None, fit: Fit, invert: bool = False
) -> np.ndarray:
    """The pixels of a picture, uint8 (C, H, W); settings as in `picture.decode`."""
    return picture.decode(_file(source), size=size, channels=channels, fit=fit, name=source[0], invert=invert)


def pixels_and_digests(
    item: tuple[Source, int, Header | BadPicture], size: Size, channels: Literal[1, 3], fit: Fit, by_bytes: bool
) -> tuple[np.ndarray, bytes]:
    """The pixels of a picture, whose label and header are known, and its `content_digests`.

    ``by_bytes`` as in `thirtytwo.data.load.load`.
    """
    source, label, found = item
    decoded = pixels(source, size, channels, fit)
    whole = isinstance(found, Header) and found.size == size and found.grey == (channels == 1)
    small = whole and max(size) <= picture.SMALL
    if by_bytes and isinstance(found, Header) and max(found.size) > picture.SMALL:
        content = picture.encoded(_file(source))
    else:
        content = decoded.tobytes() if small else picture.content(_file(source), name=source[0])
    return decoded, content_digests(DIGEST(content), label)


def header_and_digest(source: Source) -> tuple[str, Header, bytes]:
    """The name of a picture, its header, and a hash of its pixels in RGB at their own size."""
    decoded = pixels(source, None, 3, "pad")
    seen = DIGEST("x".join(map(str, decoded.shape)).encode())
    seen.update(decoded.data)  # a copy of a photograph's pixels would cost more than their hash
    return source[0], header(source), seen.digest()
