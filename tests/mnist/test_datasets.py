"""Images from folders, tables and the Hub; what is no image set is refused in words."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from playground.mnist.data import ImageDataError, mnist
from playground.mnist.datasets import HUB, open_hub, open_images
from tests.local_hub import serve
from tests.mnist.ramps import picture, png

ROOT = Path(__file__).resolve().parents[2]


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
from playground.mnist import datasets
datasets.HUB_SECONDS = 1.0
for function, name in json.loads(sys.argv[1]):
    try:
        images = getattr(datasets, function)(name)
    except datasets.ImageDataError as error:
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
    with serve(hub_sets, gated="o/locked", huge="o/huge", kind="datasets") as (url, asked):
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
