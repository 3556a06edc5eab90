"""Files that count as pictures by their content, and the formats that extra packages read."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from thirtytwo.data.folder import gather
from thirtytwo.data.formats import DICOM, HEIC, Extra, of_content
from thirtytwo.data.load import load
from thirtytwo.data.picture import BadPicture, decode, header
from thirtytwo.errors import UserError

DIGITS = load_digits()
PIXELS = np.rint(DIGITS.images * 255 / 16).astype(np.uint8)
PHOTO = load_sample_image("flower.jpg")[200:300, 250:380]
HEADS = {HEIC: b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf\0\0\1", DICOM: bytes(128) + b"DICM\2\0"}


def encoded(pixels: np.ndarray, format_: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


def digits(root: Path, suffix: str = ".png") -> Path:
    for i in range(20):
        path = root / str(DIGITS.target[i]) / f"{i:02d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(PIXELS[i], "PNG"))
    return root


@pytest.mark.parametrize(
    "format_", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO", "AVIF", "JPEG2000"]
)  # fmt: skip
def test_every_format_with_a_beginning_of_its_own_is_known_by_it(format_: str) -> None:
    assert of_content(encoded(PHOTO, format_)) is True


@pytest.mark.parametrize("text", [b"", b"BM, a note", b"P1 is what I said", b"{}", b"RIFF....WAVE", b"\0" * 200])
def test_other_files_are_not_taken_for_pictures(text: bytes) -> None:
    assert of_content(text) is False


@pytest.mark.parametrize("suffix", ["", ".0001", ".heic", ".dcm"])
def test_pictures_under_such_a_name_are_read_by_content(tmp_path: Path, suffix: str) -> None:
    plain, other = load(str(digits(tmp_path / "plain"))), digits(tmp_path / "set", suffix)
    (other / "0" / "README").write_text("x")
    found = load(str(other))
    assert torch.equal(found.train.images, plain.train.images) and found.train.classes == plain.train.classes
    assert found.notes == ("ignored files that are no pictures: 1 without a suffix",)


@pytest.mark.parametrize("extra", [HEIC, DICOM])
def test_without_its_package_a_format_is_named_with_its_count(tmp_path: Path, extra: Extra) -> None:
    if extra.installed:
        pytest.skip(f"{extra.package} is installed: what is said without it is not said")
    root = digits(tmp_path / "set")
    suffix = min(extra.suffixes)
    (root / "0" / f"a{suffix}").write_bytes(HEADS[extra])
    (root / "0" / "b").write_bytes(HEADS[extra])
    assert gather(root).notes == (
        f"left out 2 {extra.name} pictures (0 2): `pip install {extra.package}` lets them be read",
    )
    (root / "owl").mkdir()
    (root / "owl" / f"a{suffix}").write_bytes(HEADS[extra])
    with pytest.raises(UserError) as error:
        gather(root)
    assert str(error.value) == (
        f"{root}: all pictures of owl are {extra.name} (1): `pip install {extra.package}` lets them be read; "
        "else remove the folder"
    )
    with pytest.raises(BadPicture, match=f"a: a {extra.name} picture, which `pip install {extra.package}` makes"):
        decode(HEADS[extra], name="a")


# --- HEIC ------------------------------------------------------------------------------------------------------------


def test_a_heic_picture_is_read_like_any_other(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif (the extra 'heic')")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(PHOTO, "HEIF", quality=100, chroma=444)
    read = decode(data).transpose(1, 2, 0).astype(int)
    assert np.abs(read - PHOTO).mean() < 2
    turned = decode(encoded(PHOTO, "HEIF", quality=100, exif=exif.tobytes()))
    assert turned.shape == (3, PHOTO.shape[1], PHOTO.shape[0])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a/1.heic", "a/2.HEIF", "b/3", "b/4.jpg"):
        (tmp_path / name).write_bytes(data)
    assert len(load(str(tmp_path)).train) == 4
    with pytest.raises(BadPicture):
        decode(data[: len(data) // 2])


# --- DICOM -----------------------------------------------------------------------------------------------------------


def dicom(pixels: np.ndarray, kind: str = "MONOCHROME2", **tags: Any) -> bytes:
    """A file with these stored values: (H, W), (H, W, 3) or (frames, H, W)."""
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom (the extra 'dicom')")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    colour = kind == "RGB"
    set_ = pydicom.Dataset()
    set_.file_meta = FileMetaDataset()
    set_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    set_.file_meta.MediaStorageSOPClassUID = set_.SOPClassUID = SecondaryCaptureImageStorage
    set_.file_meta.MediaStorageSOPInstanceUID = set_.SOPInstanceUID = generate_uid()
    set_.Rows, set_.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    set_.SamplesPerPixel, set_.PhotometricInterpretation = (3 if colour else 1), kind
    set_.BitsAllocated = set_.BitsStored = pixels.dtype.itemsize * 8
    set_.HighBit, set_.PixelRepresentation = set_.BitsStored - 1, int(pixels.dtype.kind == "i")
    if colour:
        set_.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        set_.NumberOfFrames = len(pixels)
    for name, value in tags.items():
        setattr(set_, name, value)
    set_.PixelData = pixels.tobytes()
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, set_, enforce_file_format=True)
    return buffer.getvalue()


def test_a_dicom_picture_is_read_as_a_viewer_shows_it() -> None:
    assert np.array_equal(decode(dicom(PIXELS[0]))[0], PIXELS[0])
    assert np.array_equal(decode(dicom(PIXELS[0], "MONOCHROME1"))[0], 255 - PIXELS[0])
    assert np.array_equal(decode(dicom(PHOTO, "RGB")).transpose(1, 2, 0), PHOTO)
    assert header(dicom(PHOTO, "RGB")).size == PHOTO.shape[:2]
    deep = PIXELS[0].astype(np.uint16) * 10 + 100  # without a window: from the picture's own range
    assert np.array_equal(decode(dicom(deep))[0], np.rint(PIXELS[0] * (255.0 / PIXELS[0].max())))


def test_a_dicom_picture_is_rescaled_then_windowed() -> None:
    hounsfield = np.arange(-1024, 3072, 64, dtype=np.int16).reshape(8, 8)
    stored = ((hounsfield + 1024) // 2).astype(np.int16)
    window = {"RescaleSlope": 2, "RescaleIntercept": -1024, "WindowCenter": [40, 600], "WindowWidth": [400, 1500]}
    shown = decode(dicom(stored, **window))[0]
    expected = np.rint(np.clip((hounsfield - 39.5) / 399 + 0.5, 0, 1) * 255)
    assert np.array_equal(shown, expected) and shown.min() == 0 and shown.max() == 255
    exact = decode(dicom(stored, **window, VOILUTFunction="LINEAR_EXACT"))[0]
    assert np.array_equal(exact, np.rint(np.clip((hounsfield - 40) / 400 + 0.5, 0, 1) * 255))
    sigmoid = decode(dicom(stored, **window, VOILUTFunction="SIGMOID"))[0]
    assert np.array_equal(sigmoid, np.rint(255 / (1 + np.exp(-4 * (hounsfield - 40) / 400))))


def test_of_several_dicom_frames_the_first_is_read_and_that_is_said(tmp_path: Path) -> None:
    assert np.array_equal(decode(dicom(PIXELS[:3]))[0], PIXELS[0])
    root = digits(tmp_path / "set")
    (root / "0" / "film.dcm").write_bytes(dicom(PIXELS[:3]))
    (root / "1" / "1.2.840.113619").write_bytes(dicom(PIXELS[1]))
    found = load(str(root))
    assert len(found.train) == 22
    assert found.notes == ("1 picture with several frames, of which the first is used",)


def test_a_damaged_or_huge_dicom_file_is_one_line() -> None:
    data = dicom(PIXELS[0])
    for cut in range(140, len(data), 23):
        with pytest.raises(BadPicture) as error:
            decode(data[:cut], name="x.dcm")
        assert "\n" not in str(error.value)
    with pytest.raises(BadPicture, match="larger than"):
        decode(dicom(PIXELS[0], Rows=60_000, Columns=60_000))
