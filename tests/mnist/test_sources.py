"""Images from folders, tables, the Hub and uploads; what is no image set is refused in words."""

import io
import json
import os
import socket
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from playground.mnist.data import ImageDataError, mnist
from playground.mnist.sources import HUB, open_hub, open_images, read_folder, read_upload
from tests.mnist.local_hub import serve

ROOT = Path(__file__).resolve().parents[2]
RAMP = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)


def picture(level: int, side: int = 16) -> Image.Image:
    """A ramp that begins at `level`: no two look alike."""
    return Image.fromarray(np.resize(np.roll(RAMP, -level), (side, side)))


def png(level: int = 0, side: int = 16) -> bytes:
    out = io.BytesIO()
    picture(level, side).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the datasets library keeps goes where the tests' files go."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()


# ---- MNIST


def test_mnist_is_itself() -> None:
    assert open_images("mnist") is mnist("train")
    assert open_images("mnist", "test").resized(28) is mnist("test")
    assert torch.equal(open_images("mnist", "test", size=14).images, mnist("test").resized(14).images)


def test_fewer_digits_are_drawn_from_all() -> None:
    few, every = open_images("mnist", "test", limit=500), mnist("test")
    assert few.labels is not None
    assert every.labels is not None
    assert len(few) == len(few.labels) == 500
    assert torch.equal(few.images, open_images("mnist", "test", limit=500).images)
    places = [int((every.images == image).flatten(1).all(1).nonzero()[0]) for image in few.images[:20]]
    assert places == sorted(places)
    assert every.labels[places].tolist() == few.labels[:20].tolist()
    assert few.labels.bincount(minlength=10).min() > 25


# ---- Folders and tables


def test_a_folder_with_a_sub_folder_per_class(tmp_path: Path) -> None:
    for name, level in [("dog/b", 40), ("cat/c", 70), ("dog/a", 20)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(level).save(tmp_path / f"{name}.png")
    images = open_images(str(tmp_path))
    assert (images.name, images.shape, images.classes) == (tmp_path.name, (1, 16, 16), ("cat", "dog"))
    assert images.labels is not None
    found = sorted(zip(images.images[:, 0, 0, 0].tolist(), images.labels.tolist(), strict=True))
    assert found == [(20, 1), (40, 1), (70, 0)]
    assert open_images(str(tmp_path)).resized(8).shape == (1, 8, 8)
    assert open_images(str(tmp_path), size=8).shape == (1, 8, 8)


def test_a_folder_with_splits_and_no_classes(tmp_path: Path) -> None:
    for split, levels in {"train": [1, 2, 3], "test": [9]}.items():
        (tmp_path / split).mkdir()
        for level in levels:
            picture(level, 40 + level).save(tmp_path / split / f"{level}.jpg", quality=100)
    train, test = open_images(str(tmp_path)), open_images(str(tmp_path), "test")
    assert (len(train), train.shape, train.labels, train.classes) == (3, (1, 32, 32), None, ())
    assert (len(test), test.shape) == (1, (1, 49, 49))


def test_a_folder_is_no_kind_of_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The datasets library takes some bare names, such as "json", for a way to read a file."""
    (tmp_path / "json").mkdir()
    picture(5).save(tmp_path / "json" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert len(open_images("json")) == 1


FEATURES = datasets.Features(
    {
        "id": datasets.Value("int64"),
        "fine": datasets.ClassLabel(names=["ant", "bee", "cow"]),
        "coarse": datasets.ClassLabel(names=["insect", "other"]),
        "photo": datasets.Image(),
        "second": datasets.Image(),
    }
)


def table(n: int, fine: list[int] | None = None, **changes: Any) -> datasets.Dataset:
    columns = {
        "id": list(range(n)),
        "fine": fine or [k % 3 for k in range(n)],
        "coarse": [0] * n,
        "photo": [picture(k) for k in range(n)],
        "second": [picture(0, 50)] * n,
    }
    return datasets.Dataset.from_dict(columns | changes, features=FEATURES)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_table_with_images(kind: str, tmp_path: Path) -> None:
    """Columns are found by their type: the first of images, and the first of classes."""
    if kind == "parquet":
        table(7).to_parquet(tmp_path / "train.parquet")
        table(2).to_parquet(tmp_path / "test.parquet")
    else:
        table(7).save_to_disk(tmp_path / "saved")
        (tmp_path / "saved" / "data-00000-of-00001.arrow").rename(tmp_path / "train.arrow")
        for file in (tmp_path / "saved").iterdir():
            file.unlink()
        (tmp_path / "saved").rmdir()
    images = open_images(str(tmp_path))
    assert (len(images), images.shape, images.classes) == (7, (1, 16, 16), ("ant", "bee", "cow"))
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert images.images[:, 0, 0, 0].tolist() == list(range(7))
    few = open_images(str(tmp_path), limit=3)
    assert few.labels is not None
    levels = few.images[:, 0, 0, 0].tolist()
    assert levels == sorted(set(levels))
    assert few.labels.tolist() == [level % 3 for level in levels]


def test_hidden_labels_are_none(tmp_path: Path) -> None:
    table(3, fine=[-1, -1, -1]).to_parquet(tmp_path / "train.parquet")
    images = open_images(str(tmp_path))
    assert (images.labels, images.classes) == (None, ())


def test_faulty_folders_are_refused(tmp_path: Path) -> None:
    def refused(message: str, split: Any = "train") -> None:
        with pytest.raises(ImageDataError, match=message):
            open_images(str(folder), split)

    folder = tmp_path / "empty"
    folder.mkdir()
    refused(r"cannot read empty \(EmptyDatasetError\)\. A folder of images")
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "train.csv").write_text("x,y\n1,2\n")
    refused(r"no images in text \(train\)")
    refused("text has no split 'test', only train", "test")
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "good.png").write_bytes(png())
    (folder / "bad.png").write_text("a shopping list")
    refused("bad.png cannot be read as PNG")
    folder = tmp_path / "not_parquet"
    folder.mkdir()
    (folder / "train.parquet").write_bytes(b"PAR1")
    refused("cannot read not_parquet")
    folder = tmp_path / "gaps"
    folder.mkdir()
    table(2, photo=[picture(0), None]).to_parquet(folder / "train.parquet")
    refused("Image 2 is missing from the table")


def test_a_table_opens_no_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    picture(1).save(tmp_path / "secret.png")
    rows = table(1, photo=[{"bytes": None, "path": str(tmp_path / "secret.png")}])
    rows.cast_column("photo", datasets.Image(decode=False)).to_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(ImageDataError, match="Image 1 is missing from the table"):
        open_images(str(tmp_path / "set"))


@pytest.mark.parametrize("name", ["no_such_folder", "", "a/b/c", "../..x", "https://example.org/a", "a/..", "a--b/c"])
def test_names_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ImageDataError, match="neither a folder here, nor mnist, fashion_mnist, cifar10 or a Hub id"):
        open_images(name)


# ---- The Hub


@pytest.mark.parametrize("name", [*HUB, *HUB.values(), "nobody/nothing"])
def test_without_a_network_it_says_so(name: str) -> None:
    """These tests run with HF_HUB_OFFLINE=1."""
    for open_it in (open_images, open_hub) if name in HUB else (open_images,):
        with pytest.raises(ImageDataError, match=r"could not be fetched \(OfflineModeIsEnabled\).*take mnist"):
            open_it(name)


@pytest.mark.parametrize(
    "name", ["mnist", "nobody/nothing", ".", "assets/mnist", "assets", "/tmp", "", "../x", "a" * 999]
)
def test_the_page_opens_known_sets_only(name: str) -> None:
    with pytest.raises(ImageDataError, match="This page opens fashion_mnist and cifar10 only"):
        open_hub(name)


OPEN = """
import json, sys
from playground.mnist import sources
sources.HUB_SECONDS = 1.0
for function, name in json.loads(sys.argv[1]):
    try:
        images = getattr(sources, function)(name)
    except sources.ImageDataError as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps([len(images), images.shape, images.classes]))
"""


def asked_of(url: str, home: Path, *calls: tuple[str, str]) -> list[Any]:
    """What a playground answers whose Hub is at `url`: [N, shape, classes] or the error's words."""
    env = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    env |= {"no_proxy": "127.0.0.1", "PLAYGROUND_ANY_HUB_SET": "1"}
    command = [sys.executable, "-c", OPEN, json.dumps(calls)]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def hub_sets(tmp_path: Path) -> dict[str, Path]:
    sets = {name: tmp_path / name for name in ("o/images", "o/text", "o/locked", "o/huge", HUB["cifar10"])}
    for folder in sets.values():
        folder.mkdir(parents=True)
        table(5).to_parquet(folder / "train-00000-of-00001.parquet")
    (sets["o/text"] / "train-00000-of-00001.parquet").unlink()
    (sets["o/text"] / "train.csv").write_text("x,y\n1,2\n")
    return sets


GOOD_SET = [5, [1, 16, 16], ["ant", "bee", "cow"]]


def test_sets_of_the_hub(hub_sets: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "home"
    refused = {
        ("open_hub", "o/text"): "no images in o/text",
        ("open_hub", "o/huge"): "o/huge has 1,000,000,000,000 bytes, the limit is 1,000,000,000. Choose a smaller set.",
        ("open_images", "o/none"): "no public data set o/none",
        ("open_images", "o/locked"): "o/locked is gated: ask for access",
        (
            "open_hub",
            "assets/mnist",
        ): "no public data set assets/mnist",  # a folder here, but not for a page
        ("open_hub", "o/../images"): "has the form owner/name",
    }
    opened = [("open_images", "cifar10"), ("open_hub", "o/images"), ("open_hub", "cifar10")]
    with serve(hub_sets, gated="o/locked", huge="o/huge") as (url, asked):
        answers = asked_of(url, home, *opened, *refused)
    assert answers[:3] == [GOOD_SET] * 3
    for answer, words in zip(answers[3:], refused.values(), strict=True):
        assert words in answer
    assert asked.count("/api/datasets/o/none") == 1
    assert not any("o/huge/resolve" in path for path in asked)

    # A Hub that takes a call and never answers is given up at once, where its client would try six times. What was
    # fetched before opens again.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        kept, other = asked_of(url, home, ("open_images", "cifar10"), ("open_hub", "fashion_mnist"))
    assert kept == GOOD_SET
    assert "fashion_mnist could not be fetched (ReadTimeout), and no copy of it is on this machine" in other


# ---- Uploads


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
