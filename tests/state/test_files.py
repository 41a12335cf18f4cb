"""Files are written whole or not at all."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from morphir.errors import StorageError
from morphir.state.files import atomic_path


def test_state_6_a_block_that_ends_well_replaces_the_file(tmp_path):
    """STATE-6"""
    path = tmp_path / "a.bin"
    path.write_text("old")
    with path.open() as reader:
        with atomic_path(path) as temporary:
            assert temporary.parent == tmp_path
            temporary.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert reader.read() == "old"  # moved into place, not written over
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FileNotFoundError])
def test_state_6_a_block_that_fails_leaves_the_old_file(tmp_path, error):
    """STATE-6: and raises its own error"""
    path = tmp_path / "a.bin"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise error("mine")

    with pytest.raises(error, match="mine"):
        write()
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_state_6_a_kill_in_the_middle_leaves_the_old_file(tmp_path):
    """STATE-6"""
    path = tmp_path / "a.bin"
    path.write_text("old")
    program = (
        "import os, signal, sys\n"
        "from morphir.state.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half of the ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program, path], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_file_has_the_usual_permissions(tmp_path):
    mask = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a.bin") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640


def test_a_writer_with_a_private_file_of_its_own_gets_the_usual_permissions_too(tmp_path):
    mask = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "a.bin") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o644


def test_a_file_that_is_replaced_keeps_its_permissions_and_its_links(tmp_path):
    path, link = tmp_path / "a.bin", tmp_path / "latest"
    path.write_text("old")
    path.chmod(0o604)
    link.symlink_to(path.name)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_what_is_read_only_is_not_replaced(tmp_path, monkeypatch):
    """root may write anything, so the answer of the system is given here"""
    path = tmp_path / "a.bin"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda target, mode: mode != os.W_OK)
    with pytest.raises(StorageError, match="it is read-only"), atomic_path(path):
        raise AssertionError("the block must not run")
    assert path.read_text() == "old"


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    """Moving a file to /dev/null would replace the device."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="no regular file"), atomic_path(tmp_path / "pipe"):
        raise AssertionError("the block must not run")
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing/a.bin", "No such file or directory"),
        ("file/a.bin", "Not a directory"),
        ("folder", "it is a folder"),
        ("a" * 300, "File name too long"),
        ("nul\0", "null byte"),
    ],
)
def test_a_path_that_cannot_be_written_to_is_one_clear_error(tmp_path, place, reason):
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(StorageError, match=f"cannot write .*{reason}.*still there"),
        atomic_path(tmp_path / place),
    ):
        raise AssertionError("the block must not run")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]
