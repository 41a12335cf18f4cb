"""One file with tensors and a header."""

import json
import os
import pickle
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from morphir.errors import RefusalError, StorageError
from morphir.state import archive
from morphir.state.archive import read_archive, read_header, write_archive
from morphir.tensors import words

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64,
]  # fmt: skip


def specimens() -> dict[str, torch.Tensor]:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {f"{dtype}": (base - 7).to(dtype) for dtype in DTYPES}
    tensors |= {
        "scalar": torch.tensor(-0.0),
        "empty": torch.empty(0, 3),
        "turned": base.t(),
        "whole": base,
        "row": base[1],
        "same row": base[1],
        "strided": base[:, ::2],
        "one of a column": base[:1, 0],
        "expanded": torch.ones(1).expand(5),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "nan": torch.tensor([float("nan"), float("-inf")]),
        "gradient": torch.ones(2, requires_grad=True),
    }
    return tensors


def test_state_7_tensors_and_header_come_back(tmp_path):
    """STATE-7: every dtype, empty, 0-dimensional, not contiguous, of one storage"""
    path = tmp_path / "a.safetensors"
    tensors = specimens()
    write_archive(path, {"x": [1, "é"]}, tensors)
    header, found = read_archive(path)
    assert header["x"] == [1, "é"]
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype is tensor.dtype
        assert torch.equal(words(found[name]), words(tensor)), name
    again, kinds = read_header(path)
    assert again == header
    assert kinds["turned"] == "f32[6, 4]"
    assert kinds["scalar"] == "f32[]"
    assert kinds["torch.bfloat16"] == "bf16[4, 6]"
    assert {*load_file(path)} == {*tensors}  # anyone can read it


def good(tmp_path):
    path = tmp_path / "a.safetensors"
    write_archive(path, {"x": 1}, {"weight": torch.arange(100.0), "bias": torch.zeros(3)})
    return path


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_state_7_any_flipped_bit_is_found(tmp_path_factory, where, bit):
    """STATE-7"""
    path = good(tmp_path_factory.mktemp("flip"))
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)
    try:
        header, tensors = read_archive(path)
    except StorageError:
        return
    # The only bytes that carry nothing are the spaces that pad the header.
    assert header == {"version": 1, "x": 1}
    assert torch.equal(tensors["weight"], torch.arange(100.0))
    assert torch.equal(tensors["bias"], torch.zeros(3))


def test_state_7_the_checksum_covers_the_header(tmp_path):
    """STATE-7"""
    path = good(tmp_path)
    data = path.read_bytes()
    changed = data.replace(rb"\"x\": 1", rb"\"x\": 2")
    assert len(changed) == len(data)
    assert changed != data
    path.write_bytes(changed)
    with pytest.raises(StorageError, match="corrupt: its checksum differs"):
        read_archive(path)


@given(share=st.floats(0, 1, exclude_max=True))
def test_state_7_a_truncated_file_is_found(tmp_path_factory, share):
    """STATE-7"""
    path = good(tmp_path_factory.mktemp("cut"))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    for read in (read_archive, read_header):
        with pytest.raises(StorageError, match=r"a\.safetensors: truncated, or not a safetensors"):
            read(path)


def test_a_file_that_cannot_be_opened_is_named_once(tmp_path):
    for path, why in ((tmp_path, "it is a folder"), (tmp_path / "no", "there is no such file")):
        with pytest.raises(StorageError) as caught:
            read_archive(path)
        assert str(caught.value) == f"cannot read {path}: {why}"


class Trap:
    def __reduce__(self):
        return os.mkdir, (os.environ["MORPHIR_TRAP"],)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "cannot read .*there is no such file"),
        (lambda p: p.mkdir(), "cannot read"),
        (lambda p: p.write_bytes(b""), "cannot read"),
        (lambda p: p.write_bytes(b"\x80\x04nonsense" * 10), "cannot read"),
        (lambda p: p.write_bytes(struct.pack("<Q", 2**62) + b"{}"), "cannot read"),
        (lambda p: p.write_bytes(pickle.dumps(Trap())), "cannot read"),
        (lambda p: torch.save({"a": Trap()}, p), "cannot read"),
        (lambda p: save_file({"a": torch.zeros(1)}, p), "not written by morphir.save"),
        (
            lambda p: save_file({}, p, {"morphir": "{", "morphir_sha256": ""}),
            "not written by morphir.save",
        ),
        (
            lambda p: save_file({}, p, {"morphir": "[]", "morphir_sha256": ""}),
            "not written by morphir.save",
        ),
        (
            lambda p: save_file({}, p, {"morphir": '{"version": "x"}', "morphir_sha256": ""}),
            "not written by morphir.save",
        ),
        (
            lambda p: save_file({}, p, {"morphir": '{"version": 99}', "morphir_sha256": ""}),
            "has version 99, this morphir reads up to 1: update morphir",
        ),
    ],
)
def test_state_7_a_foreign_file_is_one_clear_error_and_runs_nothing(
    tmp_path, monkeypatch, make, message
):
    """STATE-7"""
    trap = tmp_path / "trap"
    monkeypatch.setenv("MORPHIR_TRAP", str(trap))
    path = tmp_path / "a.safetensors"
    make(path)
    for read in (read_archive, read_header):
        with pytest.raises(StorageError, match=message):
            read(path)
    assert not trap.exists()
    if path.is_file() and path.stat().st_size:  # the trap is a real one
        with pytest.MonkeyPatch.context():
            data = path.read_bytes()
            if data.startswith(b"\x80\x04\x95"):
                pickle.loads(data)
                assert trap.exists()


def test_state_6_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    """STATE-6"""
    path = good(tmp_path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise archive.safetensors.SafetensorError("No space left on device")

    monkeypatch.setattr(archive, "save_file", full)
    with pytest.raises(StorageError, match=r"cannot write .*No space left.*still there"):
        write_archive(path, {}, {"a": torch.zeros(1)})
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.eye(2).to_sparse(), "torch.sparse_coo tensor on cpu of torch.float32"),
        (torch.zeros(2, device="meta"), "torch.strided tensor on meta"),
        (torch.zeros(2, dtype=torch.complex128), "complex128"),
    ],
)
def test_tensors_that_cannot_be_stored_are_refused_by_name(tmp_path, tensor, kind):
    with pytest.raises(RefusalError, match=kind):
        write_archive(tmp_path / "a", {}, {"mask": tensor})
    assert [*tmp_path.iterdir()] == []


def test_the_header_is_json_in_the_metadata(tmp_path):
    path = good(tmp_path)
    with archive.safetensors.safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["morphir"]) == {"version": 1, "x": 1}
