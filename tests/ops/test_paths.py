"""Places inside arguments are found, read, written and printed."""

import torch

from morphir.ops.paths import put_path, read_path, show_path, tensors_of

ARGUMENTS = {"index": (slice(None), slice(1, 3)), "dim": 0}


def test_a_place_is_read_and_written_without_changing_the_original():
    changed = put_path(ARGUMENTS, ("index", 1, "stop"), 7)
    assert read_path(changed, ("index", 1, "stop")) == 7
    assert read_path(ARGUMENTS, ("index", 1, "stop")) == 3
    assert changed["index"][1].start == 1
    assert put_path(ARGUMENTS, ("dim",), 2)["dim"] == 2


def test_tensors_are_found_with_their_places():
    x, y = torch.zeros(2), torch.zeros(3)
    assert [*tensors_of((x, 1, (y,)), ("tensors",))] == [
        (("tensors", 0), x),
        (("tensors", 2, 0), y),
    ]


def test_a_place_prints_as_python_would_write_it():
    assert show_path(("index", 1, "stop")) == "index[1].stop"
