"""Pictures of every format that Pillow can write, changed at random: decoded, or refused in one line; never touched.

No crash, no hang, and no warning of NumPy's either. A failure names its picture and number.
"""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import mutated, one_line_at_most
from PIL import Image
from sklearn.datasets import load_sample_image

from thirtytwo.data.picture import content, decode, header

PHOTO = Image.fromarray(load_sample_image("china.jpg")[150:166, 300:324])  # 24 x 16
MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F")
EXIF = Image.Exif()
EXIF[0x0112] = 6
MORE: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("TIFF", {"compression": each}) for each in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
    ("JPEG", {"progressive": True, "exif": EXIF}), ("JPEG", {"restart_marker_blocks": 1}), ("PNG", {"exif": EXIF}),
    ("WEBP", {"lossless": True, "exif": EXIF}), ("JPEG2000", {"irreversible": True}),
    ("TGA", {"compression": "tga_rle"}),
    *((format_, {"save_all": True, "append_images": [PHOTO.rotate(90)]}) for format_ in ("GIF", "WEBP", "PNG", "TIFF")),
)  # fmt: skip
"""Further ways of writing, of RGB."""
COUNT = 3000
FEW = 120
"""In every suite."""


def _written() -> dict[str, bytes]:
    """A picture in every format and mode that this Pillow can write, by what messages call it."""
    Image.init()
    ways = [(format_, mode, {}) for format_ in sorted(Image.SAVE) for mode in MODES]
    found = {}
    for format_, mode, options in [*ways, *((format_, "RGB", options) for format_, options in MORE)]:
        image = PHOTO.convert("L").convert("I").convert(mode) if mode == "I;16" else PHOTO.convert(mode)
        file = BytesIO()
        try:
            image.save(file, format_, **options)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue  # a format that has no such mode, or needs another program
        found[f"{format_} {mode} {', '.join(options)}".strip()] = file.getvalue()
    return found


WRITTEN = _written()


def try_pictures(numbers: range, folder: Path) -> int:
    """Read these changed pictures in every way in which pictures are read; how many could be decoded."""
    decoded = 0
    names = list(WRITTEN)
    for number in numbers:
        name = names[number % len(names)]
        data = mutated(WRITTEN[name], np.random.default_rng(number))
        path = folder / f"{number}.{name.partition(' ')[0].lower()}"
        path.write_bytes(data)
        what = f"{name}, number {number}, in {path}"
        with one_line_at_most(what):
            size = header(path).size
            whole = decode(path)
            assert whole.dtype == np.uint8 and tuple(whole.shape[1:]) == size and whole.shape[0] in (1, 3), what
            assert np.array_equal(decode(data), whole) and content(path) == content(data), what
            decoded += 1
        with one_line_at_most(what):
            assert decode(data, size=(8, 8), channels=3, fit=("pad", "crop", "stretch")[number % 3]).shape == (3, 8, 8)
        assert path.read_bytes() == data, what
    return decoded


def test_the_pictures_are_what_users_have() -> None:
    assert {name.partition(" ")[0] for name in WRITTEN} >= {
        "PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "ICO", "JPEG2000", "TGA", "EPS", "PDF", "PCX", "SGI",
    }  # fmt: skip
    assert len(WRITTEN) > 80


@pytest.mark.timeout(60)
def test_a_few_pictures(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning, module="thirtytwo")
        try_pictures(range(FEW), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(10))
def test_every_picture(part: int, tmp_path: Path) -> None:
    size = COUNT // 10
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning, module="thirtytwo")
        assert 0 < try_pictures(range(part * size, part * size + size), tmp_path) < size
