"""One file with tensors and a JSON header: safetensors with a checksum over all of it.

STATE-7   reading a file gives what was written, or raises; nothing in it is ever run
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import safetensors
import torch
from safetensors.torch import save_file

from morphir.errors import RefusalError, StorageError
from morphir.state.files import atomic_path, cannot_write
from morphir.tensors import words

_KEY: Final = "morphir"
_CHECKSUM: Final = "morphir_sha256"
_VERSION: Final = 1


def write_archive(
    path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Writes a file, atomically.

    Raises:
        StorageError: The path can't be written to.
        RefusalError: A tensor is of a kind that safetensors does not know.
    """
    text = json.dumps({"version": _VERSION, **header})
    with atomic_path(path) as temporary:
        stored = _separate(tensors)
        metadata = {_KEY: text, _CHECKSUM: _checksum(text, stored)}
        try:
            save_file(stored, temporary, metadata=metadata)
        except (OSError, safetensors.SafetensorError) as error:
            raise cannot_write(Path(path), error) from error
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise RefusalError(f"safetensors can't store these tensors: {error}") from error


def read_header(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads the header and the types of the tensors, `f32[64, 8]`, without the numbers.

    Raises:
        StorageError: The file is missing, corrupt, foreign, or of a later version.
    """
    with _opened(path) as (text, _, file):
        kinds = {}
        for name in file.keys():  # noqa: SIM118 - an open file is no mapping
            part = file.get_slice(name)
            kinds[name] = f"{part.get_dtype().lower()}{part.get_shape()}"
        return _parse(path, text), kinds


def read_archive(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Reads a file that `write_archive` wrote, and compares its checksum.

    Raises:
        StorageError: The file is missing, corrupt, foreign, or of a later version.
    """
    with _opened(path) as (text, checksum, file):
        header = _parse(path, text)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _checksum(text, tensors) != checksum:
            raise StorageError(
                f"{os.fspath(path)} is corrupt: its checksum differs from the one written"
            )
        return header, tensors


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[str, str, Any]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if not {_KEY, _CHECKSUM} <= metadata.keys():
                raise StorageError(f"{os.fspath(path)} was not written by morphir.save")
            yield metadata[_KEY], metadata[_CHECKSUM], file
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(f"cannot read {os.fspath(path)}: {_why(path, error)}") from error


def _why(path: str | os.PathLike[str], error: Exception) -> str:
    """What is wrong with a file, in words that do not name it again."""
    if isinstance(error, safetensors.SafetensorError):
        return "truncated, or not a safetensors file"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return "it is a folder" if Path(path).is_dir() else str(error)


def _parse(path: str | os.PathLike[str], text: str) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(text)
        is_later = header["version"] > _VERSION
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{os.fspath(path)} was not written by morphir.save") from error
    if is_later:
        raise StorageError(
            f"{os.fspath(path)} has version {header['version']}, this morphir reads up to "
            f"{_VERSION}: update morphir"
        )
    return header


def _separate(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous tensors on the CPU, no two of one storage, which safetensors would refuse."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            kind = f"{tensor.layout} tensor on {tensor.device} of {tensor.dtype}"
            raise RefusalError(f"{name!r} is a {kind}, which can't be stored", nodes=[name])
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() > plain.numel() * plain.element_size():
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        separate[name] = plain.resolve_conj().resolve_neg()
    return separate


def _checksum(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {[*tensor.shape]}".encode())
        digest.update(words(tensor).contiguous().numpy().data)
    return digest.hexdigest()
