"""COMPACT-3, STATE-18: one pass undoes chains of widenings, for weights and for moments."""

from typing import Any

import pytest
import torch
from hypothesis import given, note, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import CompactPass, Grade, WiderPass
from tests.passes.compactions import assert_same_state
from tests.passes.test_compact import trained
from tests.passes.test_wider import X

IMAGES = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
OPTIMIZERS: dict[str, Any] = {
    "Adam": torch.optim.Adam,
    "AMSGrad": lambda p: torch.optim.AdamW(p, amsgrad=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, momentum=0.9),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "Adagrad": torch.optim.Adagrad,
}


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Tanh(),
        nn.Linear(2, 3),
    )  # fmt: skip


def images() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Conv2d(3, 2, 2), nn.Tanh(),
        nn.Flatten(), nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 2),
    )  # fmt: skip


NETS = {"layers": (layers, X, ("0", "2", "4")), "images": (images, IMAGES, ("0", "3", "6"))}


def there_and_back(
    net: str, steps: list[tuple[str, int, str]], kind: str, dtype: torch.dtype, seed: int = 0
) -> None:
    """Widens in several steps and compacts in one: weights and optimizer state have to be back.

    Args:
        net: Which net.
        steps: The module, how many units more, and how they start.
        kind: Which optimizer.
        dtype: Of the numbers.
        seed: Of the weights and the shares.
    """
    torch.manual_seed(seed)
    make, x, _ = NETS[net]
    model, x = make().to(dtype), x.to(dtype)
    optimizer = OPTIMIZERS[kind](model.parameters())
    trained(model, x, optimizer)
    grown, carried = model, optimizer
    for number, (at, by, init) in enumerate(steps):
        layer = grown.get_submodule(at)
        width = (layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features) + by
        pass_ = WiderPass(at=at, width=width, init=init, seed=seed + number)
        result = morphir.transform(grown, pass_, optimizer=carried, example_inputs=(x,))
        grown, carried = result.module, result.optimizer
    back = morphir.transform(
        grown, CompactPass(merge_copies=True), optimizer=carried, example_inputs=(x,)
    )
    assert back.report.grade is Grade.PROVED, back.report
    assert "estimates" not in str(back.report)
    assert_same_state(model, back.module)
    assert all(value.any() for state in optimizer.state.values() for value in state.values())
    pairs = zip(model.parameters(), back.module.parameters(), strict=True)
    # Shares add up to 16/9 in size at most (SHARE-1), and so much more is rounded by every step.
    rtol = 8 * torch.finfo(dtype).eps * (16 / 9) ** len(steps)
    for number, (old, new) in enumerate(pairs):
        for entry, value in optimizer.state[old].items():
            after = back.optimizer.state[new][entry]
            assert torch.allclose(after, value, rtol=rtol, atol=0), (number, entry, after / value)


@settings(max_examples=20, deadline=None)
@given(
    net=st.sampled_from([*NETS]),
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 9), st.sampled_from(["copy", "copy", "fresh"])),
        min_size=2,
        max_size=6,
    ),
    kind=st.sampled_from([*OPTIMIZERS]),
    seed=st.integers(0, 3),
)
def test_compact_3_state_18_one_pass_undoes_any_chain_of_widenings(
    net: str, steps: Any, kind: str, seed: int
):
    """COMPACT-3, STATE-18: copies and fresh units, of any modules, in any order"""
    named = [(NETS[net][2][number], by, init) for number, by, init in steps]
    note(f"{net} {named} {kind}")
    there_and_back(net, named, kind, torch.float32, seed)


@pytest.mark.parametrize("x", [0, 78, 105])
def test_run_2_fifteen_numbers_tell_little_about_how_much_is_rounded(x: int, monkeypatch):
    """RUN-2: the compacted model is twice as far from its float64 results as the wide one, once"""
    numbers = torch.randn(5, 4, generator=torch.Generator().manual_seed(x))
    monkeypatch.setitem(NETS, "layers", (layers, numbers, ("0", "2", "4")))
    steps = [("4", 1, "copy"), ("2", 9, "copy"), ("4", 1, "fresh"), ("0", 7, "copy")]
    there_and_back("layers", [*steps, ("0", 1, "copy")], "SGD", torch.float32, seed=2)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("copies", [2, 4, 8, 16, 32])
def test_state_18_of_many_copies_the_moments_come_back(kind: str, copies: int):
    """STATE-18: the smallest share of n copies is about 1 / (2 n^2)"""
    there_and_back("layers", [("0", 3 * copies - 3, "copy")], kind, torch.float32)


def test_compact_3_models_of_other_numbers_are_changed_alike():
    """COMPACT-3, LOCK-1: shares are read off the numbers, but do not depend on them"""
    models = [layers() for _ in range(3)]
    steps: list[Any] = [WiderPass(at="0", width=width) for width in (5, 7, 31)]
    steps += [WiderPass(at="2", width=9, init="fresh"), CompactPass(merge_copies=True)]
    results = morphir.transform(models, steps, example_inputs=(X,))
    for model, result in zip(models, results, strict=True):
        assert_same_state(model, result.module)


@pytest.mark.parametrize(
    "steps",
    [
        [("0", 5, "copy"), ("2", 4, "fresh")],
        [("2", 4, "fresh"), ("0", 5, "copy")],
        [("0", 5, "fresh"), ("2", 4, "fresh"), ("4", 3, "copy")],
        [("0", 5, "fresh"), ("0", 4, "copy"), ("2", 4, "fresh")],
        [("0", 5, "copy"), ("2", 4, "fresh"), ("4", 3, "fresh"), ("2", 7, "copy")],
    ],
    ids=lambda steps: " ".join(f"{init}{at}" for at, _, init in steps),
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compact_3_copies_and_fresh_units_go_in_one_pass(steps: Any, dtype: torch.dtype):
    """COMPACT-3, STATE-18: fresh units may read copies, and other fresh units"""
    there_and_back("layers", steps, "Adam", dtype)
