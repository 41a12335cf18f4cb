"""Files are written whole or not at all.

STATE-6   whatever happens while a file is written, what was at its path before is still there,
          or all of the new file is
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from morphir.errors import StorageError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path`, and moves the file there when the block ends well.

    As with a plain `open`, links are followed, what is read-only is refused, and the file has the
    permissions of the one before or those that the umask gives.

    Raises:
        StorageError: The folder does not exist or cannot be written to; what was at `path` is still
            there.
    """
    try:
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        _check_replaceable(target)
        temporary.touch(exist_ok=False)  # fails now rather than after the work
        mode = stat.S_IMODE((target if target.exists() else temporary).stat().st_mode)
    except (OSError, ValueError) as error:
        raise cannot_write(Path(path), error) from error
    try:
        yield temporary
        try:
            temporary.chmod(mode)  # writers with temporary files of their own make private ones
            flush(temporary)
            temporary.replace(target)
            flush(target.parent)
        except OSError as error:
            raise cannot_write(Path(path), error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_replaceable(target: Path) -> None:
    if target.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    if target.exists() and not target.is_file():
        raise OSError(None, "it is no regular file")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(None, "it is read-only")


def cannot_write(path: Path, error: Exception) -> StorageError:
    """The error for a path that can't be written to."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StorageError(f"cannot write {path}: {reason}; what was there before is still there")


def flush(path: Path) -> None:
    """Waits until the disk has what was written, so that the new name never points to less."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
