"""Where images come from: assets/mnist, the Hub or a folder through the datasets library, an upload."""

from __future__ import annotations

import dataclasses
import re
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from playground.mnist.data import ImageDataError, ImageSet, Split, mnist
from playground.mnist.image_files import Row, shown, to_set
from playground.settings import SETTINGS

HUB = {"fashion_mnist": "zalando-datasets/fashion_mnist", "cifar10": "uoft-cs/cifar10"}
HUB_ID = re.compile(r"(?!.*(--|\.\.))\w[\w.-]{0,60}\b/\w[\w.-]{0,95}\b(?<!\.git)", re.ASCII)  # the Hub's own rule
HUB_SECONDS = 5.0
LITTER = {"Thumbs.db", "desktop.ini"}  # what Windows leaves in folders; a Mac's is hidden, or in __MACOSX


# ---- The command line and the page


def open_images(
    name: str, split: Split = "train", size: int | None = None, limit: int = SETTINGS.max_set_images
) -> ImageSet:
    """The image set `name`: "mnist", "fashion_mnist", "cifar10", a Hub id, or a folder with a sub-folder per class.

    For the command line: a page must not read folders. Images are cropped to `size` × `size` (None: to the side that
    they share if it is at most 64, else to 32); of more than `limit`, some are drawn at random. Raises ImageDataError.
    """
    if name == "mnist":
        images = mnist(split)
        if len(images) > limit and images.labels is not None:
            keep = _keep(len(images), limit)
            images = dataclasses.replace(images, images=images.images[keep], labels=images.labels[keep])
        return images if size is None else images.resized(size)
    if name and Path(name).is_dir():
        folder = Path(name).resolve()  # in full, or a folder called "json" would be taken for that kind of file
        return _load(folder, folder.name, split, size, limit)
    hub_id = HUB.get(name, name)
    if not HUB_ID.fullmatch(hub_id):
        raise ImageDataError(f"{name!r} is neither a folder here, nor mnist, {', '.join(HUB)} or a Hub id: owner/name.")
    return _load(_download(hub_id), name, split, size, limit)


@lru_cache(maxsize=2)  # shared by all visitors; CIFAR-10 takes 154 MB
def open_hub(name: str, split: Split = "train") -> ImageSet:
    """The Hub's image set "fashion_mnist" or "cifar10", for the page; any id where the settings say so.

    No name opens a folder. Raises ImageDataError.
    """
    hub_id = HUB.get(name, name)
    if hub_id not in HUB.values() and not SETTINGS.any_hub_set:
        raise ImageDataError(
            f"This page opens {' and '.join(HUB)} only. Upload a zip of images, or ask whoever runs the playground "
            "to start it with PLAYGROUND_ANY_HUB_SET=1."
        )
    if not HUB_ID.fullmatch(hub_id):
        raise ImageDataError("A Hub id has the form owner/name. Copy it from the data set's page on the Hub.")
    return _load(_download(hub_id, SETTINGS.max_hub_bytes), name, split, None, SETTINGS.max_set_images)


# ---- The Hub and folders, through Hugging Face's libraries


def _download(hub_id: str, max_bytes: int | None = None) -> Path:
    """The folder of a data set's files: fetched, or from an earlier time where the Hub cannot be reached."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HTTPError,  # of whichever HTTP library the Hub's client uses
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        # One question with a time limit comes first: the libraries' own go on for half a minute, or minutes.
        files = HfApi().dataset_info(hub_id, timeout=HUB_SECONDS, files_metadata=True).siblings or []
        size = sum(file.size or 0 for file in files)
        if max_bytes is not None and size > max_bytes:
            raise ImageDataError(f"{hub_id} has {size:,} bytes, the limit is {max_bytes:,}. Choose a smaller set.")
        return Path(snapshot_download(hub_id, repo_type="dataset"))
    except GatedRepoError as error:
        raise ImageDataError(
            f"{hub_id} is gated: ask for access on its page on the Hub, then sign in here with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise ImageDataError(f"The Hub has no public data set {hub_id}. Copy the id from its page there.") from error
    except (HTTPError, OSError) as error:
        try:
            return Path(snapshot_download(hub_id, repo_type="dataset", local_files_only=True))
        except LocalEntryNotFoundError:
            raise ImageDataError(
                f"{hub_id} could not be fetched ({type(error).__name__}), and no copy of it is on this machine. "
                "Try again with a network, or take mnist: it is always here."
            ) from error


def _load(folder: Path, name: str, split: Split, size: int | None, limit: int) -> ImageSet:
    """A folder of images or of tables with images, as the datasets library reads it. It runs no code from there."""
    import datasets

    try:
        splits = datasets.load_dataset(str(folder))
    except Exception as error:  # whatever may be in such a folder: the library fails in any of a dozen ways
        raise ImageDataError(
            f"The datasets library cannot read {name} ({type(error).__name__}). A folder of images has a sub-folder "
            "for each class; a data set's page on the Hub shows a preview of those that can be read."
        ) from error
    if split not in splits:
        raise ImageDataError(f"{name} has no split {split!r}, only {', '.join(splits)}.")
    table = splits[split]
    column = next((key for key, kind in table.features.items() if isinstance(kind, datasets.Image)), None)
    if column is None or not len(table):
        raise ImageDataError(f"There are no images in {name} ({split}). Choose another set.")
    label = next((key for key, kind in table.features.items() if isinstance(kind, datasets.ClassLabel)), None)
    classes = () if label is None else tuple(table.features[label].names)
    table = table.cast_column(column, datasets.Image(decode=False)).select(_keep(len(table), limit).tolist())
    # Only this builder lists files that it found in the folder itself; a table could name any file of this machine.
    paths = table.info.builder_name == "imagefolder"
    return to_set(name, _table_rows(table, column, label, paths), classes, size)


def _table_rows(table: Any, column: str, label: str | None, paths: bool) -> Iterator[Row]:
    for number, row in enumerate(table, 1):
        image: dict[str, Any] = row[column] or {}
        data, path = image.get("bytes"), image.get("path")
        if data is None and path and paths:
            data = Path(path).read_bytes()
        if data is None:
            raise ImageDataError(f"Image {number} is missing from the table. Choose another set.")
        yield Path(path).name if path else f"Image {number}", data, None if label is None else row[label]


def _keep(n: int, limit: int) -> np.ndarray:
    """Up to `limit` of n indices, in order, drawn at random: sets often come sorted by class."""
    return np.arange(n) if n <= limit else np.sort(np.random.default_rng(0).choice(n, limit, replace=False))


# ---- Uploads. All of it comes from strangers, and nothing of it touches the disk


def read_upload(data: bytes, filename: str, size: int | None = None) -> ImageSet:
    """One image, or a zip of images with a sub-folder per class; `size` as in `open_images`. Raises ImageDataError."""
    most = SETTINGS.max_image_upload_bytes
    if len(data) > most:
        raise ImageDataError(f"{shown(filename)} has {len(data):,} bytes, the limit is {most:,}. Upload fewer images.")
    if not (filename.lower().endswith(".zip") or data.startswith(b"PK")):
        return to_set("your own", [(filename, data, None)], (), size, SETTINGS.max_upload_pixels)
    # Each entry of the directory begins with these bytes, and is counted before it becomes an object ten times as
    # large. Folders are entries too, and a Mac adds a shadow to every image.
    if data.count(b"PK\x01\x02") > 3 * SETTINGS.max_upload_images:
        raise ImageDataError(f"{shown(filename)}: too many files. Pack {SETTINGS.max_upload_images:,} images at most.")
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except Exception as error:  # a hostile directory fails in any of a dozen ways
        raise ImageDataError(f"{shown(filename)} is no zip file, or it was cut short. Pack it again.") from error
    with archive:
        entries = _checked_entries(archive, filename)
        folders = sorted({path.parent.name for path in entries})
        if len(folders) == 1:
            folders = []
        classes = tuple(map(shown, folders))
        return to_set("your own", _zip_rows(archive, entries, folders), classes, size, SETTINGS.max_upload_pixels)


def read_folder(files: list[tuple[str, bytes]]) -> ImageSet:
    """The images of an uploaded folder, (name, content) each, without classes. Raises ImageDataError."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for k, (path, data) in enumerate(files):
            name = PurePosixPath(path).name
            archive.writestr(f"{k}-{name}" if name in archive.namelist() else name, data)  # of two sub-folders
    return read_upload(packed.getvalue(), "folder.zip")


def _checked_entries(archive: zipfile.ZipFile, filename: str) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The images of an archive by path, judged by its directory alone: names, sizes, encryption."""
    entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        hidden = any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in path.parts)
        if entry.is_dir() or hidden or path.name in LITTER:
            continue
        if path.is_absolute() or ".." in path.parts:
            raise ImageDataError(f"{shown(entry.filename)}: this name leads out of the zip. Pack the folder again.")
        if entry.flag_bits & 1:
            raise ImageDataError(f"{shown(path.name)} is locked with a password. Pack the images without one.")
        # zipfile bounds what one read of a deflated entry makes, but not of bzip2 and LZMA.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ImageDataError(f"{shown(path.name)} is packed in an unusual way. Make an ordinary zip.")
        entries[path] = entry
    if len(entries) > SETTINGS.max_upload_images:
        most = f"{SETTINGS.max_upload_images:,}"
        raise ImageDataError(f"{shown(filename)} has {len(entries):,} files, the limit is {most}. Pack fewer images.")
    if (total := sum(entry.file_size for entry in entries.values())) > SETTINGS.max_unpacked_bytes:
        most = f"{SETTINGS.max_unpacked_bytes:,}"
        raise ImageDataError(f"{shown(filename)} unpacks to {total:,} bytes, the limit is {most}. Pack fewer images.")
    depths = {len(path.parts): path for path in entries}
    if len(depths) > 1 and len({path.parent for path in entries}) > 1:
        stray = depths[min(depths)]
        raise ImageDataError(f"{shown(stray.name)} lies beside the folders of the classes. Move it into one of them.")
    return entries


def _zip_rows(
    archive: zipfile.ZipFile, entries: dict[PurePosixPath, zipfile.ZipInfo], folders: list[str]
) -> Iterator[Row]:
    for path, entry in entries.items():
        try:
            with archive.open(entry) as file:
                data = file.read(entry.file_size)  # bounded by what the directory promised, and was judged by
        except Exception as error:  # a damaged entry fails in any of a dozen ways
            raise ImageDataError(f"{shown(path.name)} is damaged in the zip. Pack it again.") from error
        yield path.name, data, folders.index(path.parent.name) if folders else None
