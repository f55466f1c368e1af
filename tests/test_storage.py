"""A file is replaced all or nothing: on a full disk, and when the process is killed halfway."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from playground.storage import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OLD, NEW = b"the old file", b"new" * 100_000
ROOM = 100_000
# The signal of a file too large ends this process; Python would turn it into an error.
KILLED = f"""
import pathlib, resource, signal, sys
from playground.storage import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM}, {ROOM}))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
write_atomically(pathlib.Path(sys.argv[1]), b"new" * 100_000)
"""


@contextmanager
def little_room() -> Iterator[None]:
    """No file may grow beyond ROOM bytes: the system stops a write there, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    for data in (OLD, NEW, b""):
        write_atomically(path, data)
        assert path.read_bytes() == data
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_leaves_the_old_file_and_no_litter(there: bool, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    if there:
        path.write_bytes(OLD)
    with little_room(), pytest.raises(OSError, match="File too large"):
        write_atomically(path, NEW)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [OLD] * there


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    path.write_bytes(OLD)
    process = subprocess.run([sys.executable, "-c", KILLED, path], cwd=ROOT)
    assert process.returncode == -signal.SIGXFSZ
    assert path.read_bytes() == OLD
    sizes = sorted(file.stat().st_size for file in tmp_path.iterdir())
    assert sizes == [len(OLD), ROOM]  # what was written so far lies beside it …
    write_atomically(path, NEW)
    assert path.read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [path]  # … until the next write


def test_a_folder_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "kept").write_bytes(OLD)
    with pytest.raises(IsADirectoryError):
        write_atomically(path, NEW)
    assert (path / "kept").read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "run", NEW)
    assert list(tmp_path.iterdir()) == []
