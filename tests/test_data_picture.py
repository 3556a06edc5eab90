"""Every kind of picture becomes what a person sees; every broken one becomes one line."""

import struct
import warnings
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image
from sklearn.datasets import load_sample_image

from thirtytwo.data.picture import BadPicture, choose_size, convert_channels, decode, eight_bit, header, resize
from thirtytwo.errors import UserError

PHOTO = load_sample_image("china.jpg")[150:190, 300:360]  # 40 x 60, RGB
LOSSLESS = [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True}), ("BMP", {}), ("TGA", {})]
FORMATS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA"]


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def pixels(data: bytes, **options: object) -> np.ndarray:
    """(H, W) or (H, W, 3), as NumPy and Pillow have it."""
    decoded = decode(data, **options)  # type: ignore[arg-type]
    assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous
    return decoded[0] if len(decoded) == 1 else decoded.transpose(1, 2, 0)


@pytest.mark.parametrize(("format_", "options"), LOSSLESS)
def test_lossless_rgb_comes_back_as_it_was(format_: str, options: dict[str, object]) -> None:
    assert np.array_equal(pixels(encoded(Image.fromarray(PHOTO), format_, **options)), PHOTO)


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "PPM"])
def test_grey_stays_grey(format_: str) -> None:
    assert np.array_equal(pixels(encoded(Image.fromarray(PHOTO[..., 0]), format_)), PHOTO[..., 0])


def test_palette_becomes_its_colours() -> None:
    image = Image.fromarray(PHOTO).quantize(16)
    assert np.array_equal(pixels(encoded(image)), np.asarray(image.convert("RGB")))


def test_grey_palette_is_grey() -> None:
    image = Image.fromarray(PHOTO[..., 0]).convert("P")
    assert np.array_equal(pixels(encoded(image)), PHOTO[..., 0])


def test_one_bit_is_black_and_white() -> None:
    bits = PHOTO[..., 0] > 128
    assert np.array_equal(pixels(encoded(Image.fromarray(bits))), np.where(bits, 255, 0))


def test_sixteen_bits_are_scaled_by_their_range() -> None:
    grey = PHOTO[..., 0]
    assert np.array_equal(pixels(encoded(Image.fromarray(grey.astype(np.uint16) * 257))), grey)
    deep = np.array([[0, 128, 129, 32768, 65535]], dtype=np.uint16)
    assert pixels(encoded(Image.fromarray(deep))).tolist() == [[0, 0, 1, 128, 255]]


@pytest.mark.parametrize(
    "values", [np.float32([[0, 0.5, 1]]), np.float32([[0, 127.5, 255]]), np.int32([[0, 32768, 65535]])]
)
def test_float_and_wide_pixels_are_scaled_by_their_usual_range(values: np.ndarray) -> None:
    assert pixels(encoded(Image.fromarray(values), "TIFF")).tolist() == [[0, 128, 255]]


def test_pixels_outside_any_usual_range_are_scaled_by_their_own() -> None:
    assert eight_bit(np.float64([-3, 0, 3])).tolist() == [0, 128, 255]
    assert eight_bit(np.int32([1000, 100_000])).tolist() == [0, 255]
    assert eight_bit(np.float32([7e9, 7e9])).tolist() == [0, 0]


def test_pixels_that_are_not_finite_are_refused() -> None:
    with pytest.raises(BadPicture, match="finite"):
        decode(encoded(Image.fromarray(np.float32([[0, np.nan]])), "TIFF"))


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_put_on_white(format_: str) -> None:
    alpha = np.zeros((40, 60, 1), dtype=np.uint8)
    alpha[:, 20:40], alpha[:, 40:] = 128, 255
    options = {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    seen = pixels(encoded(Image.fromarray(np.concatenate([PHOTO, alpha], axis=2)), format_, **options))
    assert (seen[:, :20] == 255).all()
    assert np.array_equal(seen[:, 40:], PHOTO[:, 40:])
    assert np.array_equal(seen[:, 20:40], np.rint((PHOTO[:, 20:40] * 128.0 + 255 * 127) / 255))


def test_grey_with_alpha_is_grey_on_white() -> None:
    alpha = np.where(PHOTO[..., 1] > 100, 255, 0).astype(np.uint8)
    image = Image.merge("LA", [Image.fromarray(PHOTO[..., 0]), Image.fromarray(alpha)])
    assert np.array_equal(pixels(encoded(image)), np.where(alpha == 255, PHOTO[..., 0], 255))


def test_a_transparent_colour_is_white() -> None:
    image = Image.fromarray(np.uint8([[0, 1], [2, 1]]))
    image.putpalette([10, 20, 30, 200, 0, 0, 40, 50, 60])
    assert pixels(encoded(image, transparency=1)).tolist() == [[[10, 20, 30], [255] * 3], [[40, 50, 60], [255] * 3]]


def test_cmyk_becomes_rgb() -> None:
    inks = np.zeros((16, 16, 4), dtype=np.uint8)
    inks[:, :8, 0] = 255  # cyan beside paper
    image = Image.fromarray(inks, "CMYK")
    for data in (encoded(image, "TIFF"), encoded(image, "JPEG", quality=100)):
        seen = pixels(data)
        assert seen[4, 2].tolist() == [0, 255, 255] and seen[4, 13].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_exif_rotation_is_undone(format_: str, orientation: int) -> None:
    """A camera stores the upright picture turned; the eighth of them is its own inverse of the sixth."""
    stored = {
        1: PHOTO, 2: PHOTO[:, ::-1], 3: PHOTO[::-1, ::-1], 4: PHOTO[::-1],
        5: PHOTO.transpose(1, 0, 2), 6: np.rot90(PHOTO, 1), 7: PHOTO[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PHOTO, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if format_ == "WEBP" else {"quality": 100, "subsampling": 0}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), format_, exif=exif, **options)
    seen = pixels(data)
    assert seen.shape == PHOTO.shape
    if format_ == "JPEG":
        assert np.abs(seen.astype(int) - PHOTO).mean() < 2  # lossy, but a wrong turn is off by 30 and more
    else:
        assert np.array_equal(seen, PHOTO)
    assert header(data).size == PHOTO.shape[:2]


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(format_: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = encoded(frames[0], format_, save_all=True, append_images=frames[1:], **options)
    assert (pixels(data) == [255, 0, 0]).all()
    assert header(data).animated


def test_channels_as_asked() -> None:
    colour, grey = encoded(Image.fromarray(PHOTO)), encoded(Image.fromarray(PHOTO[..., 0]))
    assert np.array_equal(pixels(colour, channels=1), np.asarray(Image.fromarray(PHOTO).convert("L")))
    assert np.array_equal(pixels(grey, channels=3), PHOTO[..., [0, 0, 0]])


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(32, 32), (17, 64), (90, 20), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_in_memory_become_the_same_as_pictures_in_files(
    fit: str, size: tuple[int, int], channels: int
) -> None:
    batch = PHOTO.transpose(2, 0, 1)[None]
    in_memory = resize(convert_channels(batch, channels), size, fit)  # type: ignore[arg-type]
    in_file = decode(encoded(Image.fromarray(PHOTO)), size=size, channels=channels, fit=fit)  # type: ignore[arg-type]
    assert np.array_equal(in_memory[0], in_file)


def test_pad_centres_between_black_bars_and_crop_cuts_the_edges() -> None:
    white = np.full((1, 1, 20, 40), 255, dtype=np.uint8)
    padded = resize(white, (16, 16), "pad")[0, 0]
    assert (padded[4:12] == 255).all() and (padded[:4] == 0).all() and (padded[12:] == 0).all()
    framed = white.copy()
    framed[..., :10] = framed[..., 30:] = 0
    assert (resize(framed, (16, 16), "crop")[0, 0, :, 1:-1] == 255).all()
    assert (resize(white, (16, 16), "stretch") == 255).all()


def test_shrinking_averages_every_pixel() -> None:
    fine = (np.add.outer(np.arange(64), np.arange(64)) % 2 * 255).astype(np.uint8)[None, None]
    assert np.abs(resize(fine, (8, 8), "stretch").astype(int) - 128).max() <= 1


def test_shrinking_a_large_jpeg_by_halves_changes_little() -> None:
    photo = load_sample_image("flower.jpg")
    large = encoded(Image.fromarray(photo).resize((2560, 1708)), "JPEG", quality=95)
    exact = Image.open(BytesIO(large)).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    seen = pixels(large, size=(32, 32), fit="stretch")
    assert np.abs(seen.astype(int) - np.asarray(exact)).mean() < 2


@pytest.mark.parametrize("format_", FORMATS)
def test_a_truncated_picture_is_named_with_the_reason(format_: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(PHOTO), format_)
    path = tmp_path / f"half.{format_.lower()}"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadPicture) as error:
        decode(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert error.value.reason


@pytest.mark.parametrize("format_", FORMATS)
def test_no_damage_raises_anything_but_a_user_error(format_: str) -> None:
    data = encoded(Image.fromarray(PHOTO), format_)
    generator = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data[: generator.integers(1, len(data) + 1)])
        for _ in range(generator.integers(1, 6)):
            damaged[generator.integers(0, min(len(damaged), 200))] = generator.integers(0, 256)
        for look in (decode, header):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", module=r"PIL\.")
                with suppress(UserError):
                    look(bytes(damaged))


def test_reasons(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not at all a picture")
    half = encoded(Image.fromarray(PHOTO), "JPEG")[:700]
    for source, reason in (
        (tmp_path / "empty.png", "empty (0 bytes)"), (tmp_path / "text.png", "not a picture"),
        (tmp_path / "none.png", "no such file"), (half, "truncated"),
    ):  # fmt: skip
        with pytest.raises(BadPicture) as error:
            decode(source)
        assert error.value.reason == reason


def test_postscript_by_another_name_is_no_picture_and_starts_no_ghostscript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, program = tmp_path / "mark", tmp_path / "gs"
    program.write_text(f"#!/bin/sh\necho >{mark}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(Image.fromarray(PHOTO), "EPS"))
    for look in (decode, header):
        for source in (path, path.read_bytes()):
            with pytest.raises(BadPicture, match="not a picture"):
                look(source)
    assert not mark.exists()
    with Image.open(path) as image, suppress(OSError):
        image.load()  # the danger is real: Pillow left to itself does start it
    assert mark.exists()


@pytest.mark.parametrize("format_", [*FORMATS, "DIB", "ICO", "AVIF", "JPEG2000", "MPO"])
def test_every_kind_that_a_folder_takes_can_be_read(format_: str) -> None:
    Image.init()
    if format_ not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {format_}")
    square = PHOTO[:32, :32]  # icons come in fixed sizes
    assert pixels(encoded(Image.fromarray(square), format_)).shape == square.shape


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (9_500, 60_000):
        ihdr = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        with pytest.raises(BadPicture, match="larger than"):
            decode(bomb)


def test_reading_never_changes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.tiff"
    path.write_bytes(encoded(Image.fromarray(PHOTO), "TIFF"))
    before = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o444)
    assert np.array_equal(decode(path, size=(32, 32)), decode(path, size=(32, 32)))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_set_keeps_one_small_size_of_its_own() -> None:
    assert choose_size({(28, 20)}, None) == (28, 20)
    assert choose_size({(28, 28), (32, 32)}, None) == (32, 32)
    assert choose_size({(65, 65)}, None) == (32, 32)
    assert choose_size({(28, 28)}, 48) == (48, 48)
