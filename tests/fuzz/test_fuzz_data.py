"""Data files of every layout, changed at random: each is read, or refused in one line; no crash, no hang, no change.

A failure names its layout and number: `pytest "tests/fuzz/test_fuzz_data.py::test_every_file[parquet]"` repeats it.
"""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mutations import contents, mutated, one_line_at_most
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

from thirtytwo.data.load import load

DIGITS = load_digits()
PIXELS = np.rint(DIGITS.images[:12] * 255 / 16).astype(np.uint8)
LABELS = DIGITS.target[:12] % 3
NAMES = ("cat", "dog", "owl")
ROWS = np.resize(PIXELS, (12, 3072))

Files = dict[str, bytes]
"""The files of a source, by name."""


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def parquet(compression: str = "none", names: bool = True) -> Files:
    table = pa.table({
        "image": [{"bytes": png(image), "path": None} for image in PIXELS],
        "label": LABELS if names else [NAMES[label] for label in LABELS],
    })  # fmt: skip
    if names:
        features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": NAMES}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    file = io.BytesIO()
    pq.write_table(table, file, compression=compression, row_group_size=5)
    return {"train.parquet": file.getvalue(), "test.parquet": file.getvalue()}


def idx() -> Files:
    images, labels = (
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
        for array in (PIXELS, LABELS)
    )
    names = {"images-idx3-ubyte": images, "labels-idx1-ubyte": labels}
    return {f"{split}-{name}": data for split in ("train", "t10k") for name, data in names.items()}


def zipped_idx() -> Files:
    return {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in idx().items()}


def cifar_python(protocol: int = 2) -> Files:
    batch = {b"data": ROWS, b"labels": LABELS.tolist(), b"filenames": [b"a.png"] * 12}
    data = pickle.dumps(batch, protocol=protocol)
    meta = pickle.dumps({"label_names": list(NAMES), "num_vis": 3072}, protocol=protocol)
    return {"data_batch_1": data, "test_batch": data, "batches.meta": meta}


def cifar_binary() -> Files:
    records = b"".join(bytes([label]) + row.tobytes() for label, row in zip(LABELS.tolist(), ROWS, strict=True))
    return {"data_batch_1.bin": records, "test_batch.bin": records, "batches.meta.txt": "\n".join(NAMES).encode()}


def svhn(compressed: bool) -> Files:
    file = io.BytesIO()
    images = np.resize(PIXELS, (32, 32, 3, 12))
    savemat(file, {"X": images, "y": LABELS[:, None].astype(np.uint8)}, do_compression=compressed)
    return {"train_32x32.mat": file.getvalue(), "test_32x32.mat": file.getvalue()}


def npz_members() -> Files:
    arrays = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS / 255, "y_test": LABELS.astype(np.int8)}
    return {f"{name}.npy": npy(array) for name, array in arrays.items()}


def text_members() -> Files:
    arrays = {"images": np.repeat(PIXELS[..., None], 3, 3).astype(np.float32), "labels": np.array(NAMES)[LABELS]}
    return {f"{name}.npy": npy(array) for name, array in arrays.items()}


def as_npz(files: Files) -> Files:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return {"x.npz": file.getvalue()}


def as_tar(files: Files) -> Files:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"batches/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return {"x.tar": file.getvalue()}


def as_tar_gz(files: Files) -> Files:
    (tar,) = as_tar(files).values() if "x.tar" not in files else files.values()
    return {"x.tar.gz": gzip.compress(tar, mtime=0)}


def as_gz(files: Files) -> Files:
    return {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in files.items()}


def elements(files: Files) -> Files:
    """The elements of .mat files, without the header and not compressed."""
    return {name: data[128:] for name, data in files.items()}


def as_compressed_mat(files: Files) -> Files:
    """A header, and each element in a zlib stream of its own, as MATLAB writes them."""
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    return {name: header + b"".join(_streams(data)) for name, data in files.items()}


def _streams(data: bytes) -> list[bytes]:
    streams = []
    while data:
        length = 8 + int.from_bytes(data[4:8], "little")
        stream = zlib.compress(data[:length], 1)
        streams.append(struct.pack("<II", 15, len(stream)) + stream)
        data = data[length:]
    return streams


def as_they_are(files: Files) -> Files:
    return files


LAYOUTS: dict[str, tuple[Files, Callable[[Files], Files]]] = {
    "parquet": (parquet(), as_they_are),
    "parquet, text": (parquet(names=False), as_they_are),
    "parquet, zstd": (parquet("zstd"), as_they_are),
    "npz": (as_npz(npz_members()), as_they_are),
    "npz, in its arrays": (npz_members(), as_npz),
    "npz, in its arrays of text": (text_members(), as_npz),
    "idx": (idx(), as_they_are),
    "idx.gz": (zipped_idx(), as_they_are),
    "idx.gz, inside": (idx(), as_gz),
    "cifar python": (cifar_python(), as_they_are),
    "cifar python, protocol 4": (cifar_python(4), as_they_are),
    "cifar python, in a tar": (cifar_python(), as_tar),
    "cifar binary": (cifar_binary(), as_they_are),
    "cifar tar": (as_tar(cifar_python()), as_they_are),
    "cifar tar.gz": (as_tar_gz(cifar_binary()), as_they_are),
    "cifar tar.gz, inside": (as_tar(cifar_python()), as_tar_gz),
    "svhn": (svhn(False), as_they_are),
    "svhn, compressed": (svhn(True), as_they_are),
    "svhn, inside the compression": (elements(svhn(False)), as_compressed_mat),
}
"""What is changed, and what is then made of it: a change inside an archive would else only be a wrong checksum."""
EACH = 160
"""Files of each layout: 3,040 in all."""
FEW = 6
"""Of each layout in every suite."""


def source_of(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    archive = next((name for name in files if name.endswith((".npz", ".tar", ".tar.gz"))), None)
    return folder / archive if archive else folder


def try_files(layout: str, numbers: range, folder: Path) -> int:
    """Load these changed files of a layout; how many could be read."""
    original, wrap = LAYOUTS[layout]
    read = 0
    for number in numbers:
        generator = np.random.default_rng([number, *layout.encode()])
        changed = dict(original)
        for name in generator.permutation(list(original))[: generator.integers(1, 3)].tolist():
            changed[name] = mutated(original[name], generator)
        place = folder / str(number)
        place.mkdir()
        source = source_of(place, wrap(changed))
        before = contents(place)
        with one_line_at_most(f"{layout}, number {number}, in {source}"):
            load(str(source), bad_images=("fail", "skip")[number % 2])
            read += 1
        assert contents(place) == before
    return read


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_are_read_before_they_are_changed(layout: str, tmp_path: Path) -> None:
    original, wrap = LAYOUTS[layout]
    official = load(str(source_of(tmp_path, wrap(original))))
    assert len(official.train) == 12 and (official.test is None) == (layout == "npz, in its arrays of text")


@pytest.mark.timeout(60)
def test_a_few_files_of_every_layout(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        folder = tmp_path / layout
        folder.mkdir()
        try_files(layout, range(FEW), folder)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_file(layout: str, tmp_path: Path) -> None:
    assert try_files(layout, range(EACH), tmp_path) < EACH
