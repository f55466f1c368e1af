"""Images and zips that a visitor uploads; what is no image set is refused in words."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.mnist.data import ImageDataError
from playground.mnist.datasets import read_folder, read_upload
from tests.mnist.ramps import png


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_one_image() -> None:
    images = read_upload(png(7, 28), "seven.png")
    assert (images.name, images.shape, images.labels, images.classes) == ("your own", (1, 28, 28), None, ())
    assert images.images[0, 0, 0, 0] == 7
    assert read_upload(png(7, 28), "no extension", size=14).shape == (1, 14, 14)


def test_a_zip_of_images() -> None:
    for files in ({"a.png": png(1), "b.png": png(2)}, {"mine/a.png": png(1), "mine/b.png": png(2)}):
        images = read_upload(packed(files), "mine.zip")
        assert (len(images), images.labels, images.classes) == (2, None, ())
        assert images.images[:, 0, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize("root", ["", "all/my digits/"])
@pytest.mark.parametrize("mark", ["/", "\\"])
def test_a_folder_is_a_class(root: str, mark: str) -> None:
    files = {"3/a.png": png(30), "0/a.png": png(1), "3/b.png": png(31), "10/x.png": png(99)}
    litter = {".DS_Store": b"", "__MACOSX/3/._a.png": b"x", "3/Thumbs.db": b"x", "3/.hidden/a.txt": b"x", "empty/": b""}
    data = packed({(root + name).replace("/", mark): file for name, file in files.items()} | litter)
    images = read_upload(data, "digits.ZIP")
    assert images.classes == ("0", "10", "3")
    assert images.labels is not None
    assert images.labels.tolist() == [2, 0, 2, 1]
    assert images.images[:, 0, 0, 0].tolist() == [30, 1, 31, 99]


def test_a_zip_without_its_name() -> None:
    assert len(read_upload(packed({"a.png": png()}, zipfile.ZIP_STORED), "upload")) == 1


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read_upload(packed({"3/a.png": png(), "4/b.png": png()}), "a.zip")
    assert list(tmp_path.iterdir()) == []


def edited(data: bytes, offset: int, value: bytes, record: bytes = b"PK\x01\x02") -> bytes:
    """A zip with other bytes in the first record of a kind: the directory's entry, or the file's own header."""
    at = data.index(record) + offset
    return data[:at] + value + data[at + len(value) :]


def bomb(declared: int) -> bytes:
    """A 200 MB file of zeros in 200 KB, which says that it has `declared` bytes."""
    data = packed({"a.png": bytes(200_000_000)})
    return edited(data, 24, struct.pack("<I", declared))


ONE = packed({"a.png": png()})
STORED = packed({"a.png": png()}, zipfile.ZIP_STORED)
REFUSED = {
    "nothing": (b"", "mine.zip is no zip file"),
    "text": (b"a shopping list", "mine.zip is no zip file"),
    "an image": (png(), "mine.zip is no zip file"),
    "cut short": (ONE[:-30], "mine.zip is no zip file, or it was cut short. Pack it again"),
    "no files": (packed({}), "There are no images in your own"),
    "only folders": (packed({"3/": b"", "4/": b""}), "There are no images"),
    "text in it": (packed({"a.png": png(), "notes.txt": b"hello"}), "notes.txt cannot be read as PNG.*take it out"),
    "SVG in it": (packed({"a.svg": b"<svg/>"}), "a.svg cannot be read as PNG"),
    "a zip in it": (packed({"inner.zip": ONE}), "inner.zip cannot be read as PNG"),
    "a cut PNG in it": (packed({"3/a.png": png()[:-40]}), "^a.png (is damaged or cut short|cannot be read)"),
    "..": (packed({"../../a.png": png()}), r"^\.\./\.\./a.png: this name leads out of the zip"),
    "a deep ..": (packed({"3/../../a.png": png()}), "leads out of the zip"),
    "absolute": (packed({"/etc/a.png": png()}), "^/etc/a.png: this name leads out of the zip"),
    "Windows' ..": (packed({"..\\a.png": png()}), "leads out of the zip"),
    "a password": (edited(ONE, 8, b"\x01\x00"), "a.png is locked with a password"),
    "bzip2": (packed({"a.png": png()}, zipfile.ZIP_BZIP2), "a.png is packed in an unusual way. Make an ordinary zip"),
    "LZMA": (packed({"a.png": png()}, zipfile.ZIP_LZMA), "a.png is packed in an unusual way"),
    "no such method": (edited(ONE, 10, b"\x63\x00"), "a.png is packed in an unusual way"),
    "a wrong checksum": (edited(STORED, 16, b"\0\0\0\0"), "a.png is damaged in the zip"),
    "a changed byte": (STORED.replace(png(), png()[:-20] + b"?" + png()[-19:]), "a.png is damaged in the zip"),
    "another name inside": (edited(ONE, 30, b"b", b"PK\x03\x04"), "a.png is damaged in the zip"),
    "a place that is not there": (edited(ONE, 42, b"\xff\xff\xff\x7f"), "a.png is damaged|no zip file"),
    "a stray image": (packed({"a.png": png(), "3/b.png": png(), "4/c.png": png()}), "^a.png lies beside the folders"),
    "too many files": (packed({f"{n}.png": b"" for n in range(2001)}), "has 2,001 files, the limit is 2,000"),
    "far too many": (packed({f"{n}/": b"" for n in range(6001)}), "mine.zip: too many files. Pack 2,000 images"),
    "a bomb": (bomb(200_000_000), "mine.zip unpacks to 200,000,000 bytes, the limit is 80,000,000"),
    "a bomb that hides its size": (bomb(1000), "a.png is damaged in the zip"),
    "many to one": (packed({f"{n}.png": bytes(1_000_000) for n in range(90)}), "unpacks to 90,000,000 bytes"),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_faulty_zips_are_refused(what: str) -> None:
    data, message = REFUSED[what]
    with pytest.raises(ImageDataError, match=message):
        read_upload(data, "mine.zip")


def test_a_bomb_is_not_unpacked() -> None:
    """Read with the declared size as the bound: two million bytes of memory at most, where 200 million would come."""
    data = bomb(1_000_000)
    tracemalloc.start()
    with pytest.raises(ImageDataError, match="damaged in the zip"):
        read_upload(data, "mine.zip")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_huge_upload_is_refused_before_it_is_read() -> None:
    with pytest.raises(ImageDataError, match=r"big\.png has 40,000,001 bytes, the limit is 40,000,000"):
        read_upload(b"?" * 40_000_001, "big.png")


def test_no_image_is_named() -> None:
    with pytest.raises(ImageDataError, match=r"^notes\.png cannot be read as PNG"):
        read_upload(b"a shopping list", "notes.png")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_a_damaged_zip_is_read_or_refused(changes: list[tuple[int, int]], cut: bool) -> None:
    data = bytearray(packed({"3/a.png": png(3), "4/b.png": png(4)}))
    for place, value in changes:
        data[place % len(data)] = value
    if cut:
        del data[changes[0][0] % len(data) :]
    try:
        images = read_upload(bytes(data), "mine.zip")
    except ImageDataError:
        return
    assert images.shape[0] in (1, 3)


def test_an_uploaded_folder_is_its_images() -> None:
    one, other = png(10), png(200)
    images = read_folder([("a.png", one), ("sub/a.png", other), (".DS_Store", b"litter")])
    alone = [read_upload(data, "a.png").images for data in (one, other)]
    assert torch.equal(images.images, torch.cat(alone)), "two of one name"
    with pytest.raises(ImageDataError, match=r"notes\.txt"):
        read_folder([("notes.txt", b"words")])
