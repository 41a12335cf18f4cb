"""CERT-13: inputs and outputs that are longer, made by hand, and claims that are forged."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from morphir.checks import check_certificate
from morphir.frontend import record
from morphir.ir import (
    FRESH,
    AxisMap,
    Certificate,
    Check,
    Extension,
    Grade,
    Mapped,
    ResizeClaim,
)
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net
from tests.checks.resized import resize

X = torch.randn(2, 4)
GROWN = AxisMap.copies(4, (0, 1, 2, 3, FRESH, FRESH))
COLUMNS = {"a.weight": (Mapped(8), Mapped(4, GROWN, "split"))}
INPUT = Extension("forward", "args[0]", 1, 4, 6)
MORE = AxisMap.copies(3, (0, 1, 2, FRESH))
ROWS = {"b.weight": (Mapped(3, MORE), Mapped(8)), "b.bias": (Mapped(3, MORE),)}
OUTPUT = Extension("forward", "", 1, 3, 4)


def net(forward=lambda s, x: s.b(s.a(x).relu())) -> Net:
    return Net(forward, a=nn.Linear(4, 8), b=nn.Linear(8, 3), m=torch.randn(4))


def judged(old, new, x, tensors, inputs=(), outputs=(), mode="eval") -> Check:
    before = record(old, example_inputs=(X,), mode=mode).program
    after = record(new, example_inputs=(x,), mode=mode).program
    claim = ResizeClaim("EXTEND-1", "", tensors, inputs=tuple(inputs), outputs=tuple(outputs))
    certificate = Certificate(before.hash, after.hash, resizes=(claim,))
    assert Certificate.from_json(certificate.to_json()) == certificate
    return check_certificate(before, after, certificate, DEFAULT_TABLE)


def wide(x: torch.Tensor, count: int = 2) -> torch.Tensor:
    return torch.cat([x, torch.randn(len(x), count)], 1)


def test_cert_13_an_input_is_longer_as_claimed():
    old = net()
    new = resize(old, COLUMNS)
    found = judged(old, new, wide(X), COLUMNS, [INPUT])
    assert found.grade is Grade.PROVED, found
    inverse = Certificate("", "", resizes=(ResizeClaim("", "", COLUMNS, inputs=(INPUT,)),)).inverted
    assert inverse.inputs == (INPUT,)


def test_cert_13_an_output_is_longer_as_claimed():
    old = net()
    assert judged(old, resize(old, ROWS), X, ROWS, outputs=[OUTPUT]).grade is Grade.PROVED


@pytest.mark.parametrize("op", ["sum", "amax", "mean"])
def test_cert_13_a_longer_input_is_read_by_what_no_tensor_follows(op: str):
    """The call would be the old one, were it not for what was added to its operand."""

    def forward(s, x):
        return getattr(x, op)(1, keepdim=True) + s.b.bias

    old = net(forward)
    assert judged(old, old, X, {}).grade is Grade.PROVED
    found = judged(old, old, wide(X), {}, [INPUT])
    assert found.grade is Grade.UNKNOWN
    assert op in found.where


def test_cert_13_what_remembers_an_input_is_longer_with_it():
    def forward(s, x):
        if s.training:
            s.m.mul_(0.5).add_(x.mean(0))
        return s.b(s.a(x - s.m).relu())

    old = net(forward)
    tensors = {**COLUMNS, "m": (Mapped(4, GROWN),)}
    for mode in ("eval", "train"):
        new = resize(old, tensors)
        assert judged(old, new, wide(X), tensors, [INPUT], mode=mode).grade is Grade.PROVED
    turned = {**tensors, "m": (Mapped(4, AxisMap.copies(4, (1, 0, 2, 3, FRESH, FRESH))),)}
    found = judged(old, resize(old, turned), wide(X), turned, [INPUT], mode="train")
    assert found.grade is Grade.UNKNOWN


@pytest.mark.parametrize("column", [4, 5])
def test_cert_13_a_weight_of_a_new_feature_counts(column: int):
    old = net()
    for row in range(8):
        new = resize(old, COLUMNS)
        with torch.no_grad():
            new.a.weight[row, column] = 1e-45
        found = judged(old, new, wide(X), COLUMNS, [INPUT])
        assert found.grade is Grade.UNKNOWN
        assert found.summary == "CERT-10: a new entry along axis 1 is not zero"


FORGED = {
    "no such place": lambda true: [replace(true, path="y")],
    "no such entry point": lambda true: [replace(true, entry_point="act")],
    "claimed twice": lambda true: [true, true],
    "another axis": lambda true: [replace(true, axis=0)],
    "an axis from the back": lambda true: [replace(true, axis=-1)],
    "an axis too many": lambda true: [replace(true, axis=2)],
    "of another size": lambda true: [replace(true, size=true.size + 1)],
    "to another size": lambda true: [replace(true, new_size=true.new_size + 1)],
    "not longer": lambda true: [replace(true, new_size=true.size)],
    "of nothing": lambda true: [replace(true, size=0)],
    "not claimed": lambda true: [],
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_cert_13_a_forged_claim_is_rejected(forged):
    old = net()
    found = judged(old, resize(old, COLUMNS), wide(X), COLUMNS, forged(INPUT))
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith(("CERT-13", "CERT-5: the inputs differ"))
    found = judged(old, resize(old, ROWS), X, ROWS, outputs=forged(OUTPUT))
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-13")


def test_cert_13_an_output_that_did_not_change_is_not_longer():
    old = net()
    found = judged(old, old, X, {}, outputs=[OUTPUT])
    assert found.grade is Grade.UNKNOWN
    what = "an output is not longer as was claimed, the old one first"
    assert found.summary == f"CERT-13: {what}"


def test_cert_13_an_input_that_did_not_change_is_not_longer():
    old = net()
    assert judged(old, old, X, {}, [INPUT]).summary == "CERT-5: the inputs differ"
    as_long = replace(INPUT, new_size=INPUT.size)
    assert judged(old, old, X, {}, [as_long]).summary.startswith("CERT-13")


def test_cert_13_an_input_without_a_batch_is_longer_too():
    old = Net(lambda s, x: s.b(s.a(x).relu()), a=nn.Linear(1, 8), b=nn.Linear(8, 3))
    tensors = {"a.weight": (Mapped(8), Mapped(1, AxisMap.copies(1, (0, FRESH)), "split"))}
    before = record(old, example_inputs=(torch.randn(1),)).program
    after = record(resize(old, tensors), example_inputs=(torch.randn(2),)).program
    longer = Extension("forward", "args[0]", 0, 1, 2)
    claim = ResizeClaim("EXTEND-1", "", tensors, inputs=(longer,))
    certificate = Certificate(before.hash, after.hash, resizes=(claim,))
    found = check_certificate(before, after, certificate, DEFAULT_TABLE)
    assert found.grade is Grade.PROVED, found


def test_cert_13_channels_of_images_are_more():
    old = Net(lambda s, x: s.c(x).mean((2, 3)), c=nn.Conv2d(3, 4, 3))
    more = AxisMap.copies(3, (0, 1, 2, FRESH, FRESH))
    tensors = {"c.weight": (Mapped(4), Mapped(3, more, "split"), Mapped(3), Mapped(3))}
    new, image = resize(old, tensors), torch.randn(2, 3, 5, 5)
    before = record(old, example_inputs=(image,)).program
    after = record(new, example_inputs=(torch.randn(2, 5, 5, 5),)).program
    longer = Extension("forward", "args[0]", 1, 3, 5)
    claim = ResizeClaim("EXTEND-1", "", tensors, inputs=(longer,))
    certificate = Certificate(before.hash, after.hash, resizes=(claim,))
    found = check_certificate(before, after, certificate, DEFAULT_TABLE)
    assert found.grade is Grade.PROVED, found


@pytest.mark.parametrize("by_input", [False, True])
def test_cert_13_a_claim_is_about_one_entry_point(by_input: bool):
    class Two(Net):
        def act(self, *args: torch.Tensor) -> torch.Tensor:
            return self.forward(*args)

    old = Two(lambda s, x: s.b(s.a(x).relu()), a=nn.Linear(4, 8), b=nn.Linear(8, 3))
    tensors, true = (COLUMNS, INPUT) if by_input else (ROWS, OUTPUT)
    given = (X, wide(X) if by_input else X)
    before, after = (
        record(model, example_inputs=(x,), entry_points=("forward", "act")).program
        for model, x in zip((old, resize(old, tensors)), given, strict=True)
    )
    for claims in ((true, replace(true, entry_point="act")), (true,)):
        ends = {"inputs" if by_input else "outputs": claims}
        claim = ResizeClaim("EXTEND-1", "", tensors, **ends)
        certificate = Certificate(before.hash, after.hash, resizes=(claim,))
        found = check_certificate(before, after, certificate, DEFAULT_TABLE)
        assert (found.grade is Grade.PROVED) is (len(claims) == 2)


def test_cert_5_another_input_is_another_program():
    old = Net(lambda s, x, y=None: x * 2)
    one, two = (record(old, example_inputs=given).program for given in ((X,), (X, X)))
    for before, after in ((one, two), (two, one)):
        found = check_certificate(before, after, None, DEFAULT_TABLE)
        assert found.summary == "CERT-5: the inputs differ"


@pytest.mark.parametrize("source", [(1, 0, 2, FRESH), (FRESH, 0, 1, 2), (0, 1, 2, 0)], ids=str)
def test_cert_13_the_old_output_comes_first_and_nothing_of_it_again(source):
    old, turned = net(), AxisMap.copies(3, source)
    rows = {"b.weight": (Mapped(3, turned), Mapped(8)), "b.bias": (Mapped(3, turned),)}
    found = judged(old, resize(old, rows), X, rows, outputs=[OUTPUT])
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-13")


@pytest.mark.parametrize(
    "forward",
    [
        lambda s, x: s.b(s.a(x).relu()) * x.sum(),
        lambda s, x: s.b(s.a(x).relu()) * x.shape[1],
        lambda s, x: s.b(s.a(x).relu()) + x.max(),
        lambda s, x: (s.b(s.a(x).relu()), x),
        lambda s, x: s.b(s.a(x).relu()) if x.sum() < 1e9 else x,
        lambda s, x: s.b(s.a(x).relu()) + torch.special.airy_ai(x).sum(),
        lambda s, x: s.b(s.a(x.flip(1)).relu()),
    ],
)
def test_cert_13_whatever_else_sees_the_new_features_is_not_proved(forward):
    old = net(forward)
    found = judged(old, resize(old, COLUMNS), wide(X), COLUMNS, [INPUT])
    assert found.grade is Grade.UNKNOWN


def test_cert_13_an_input_of_another_kind_is_another_input():
    old = net(lambda s, x: s.b(s.a(x.float()).relu()))
    found = judged(old, resize(old, COLUMNS), wide(X).double(), COLUMNS, [INPUT])
    assert found.summary == "CERT-5: the inputs differ"
