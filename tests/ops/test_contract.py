"""Every declaration of the op table does what it claims, and a wrong one is caught."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from morphir.ops import ANYTHING, DEFAULT_TABLE, OPS, Interval, Op, OpTable, Spelling
from morphir.ops.axes import Layout, Role
from morphir.ops.base import AxisRule, Instance
from morphir.ops.bounds import Reader
from morphir.ops.broadcast import elementwise, nothing_moves, reducing
from morphir.ops.check import check_op
from morphir.ops.forms import Atom
from morphir.ops.regroup import view_rule
from morphir.ops.verdict import ContractError

SEEDS = (0, 1)
Arguments = Mapping[str, Any]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_declaration_does_what_it_claims(op: Op, seed: int):
    """AXIS-4, FACT-1, FACT-2, FACT-3 and OPS-2 on the samples of every declaration."""
    check_op(op, DEFAULT_TABLE, seed)


def declared(name: str, **changes: object) -> Op:
    op = DEFAULT_TABLE.get(name)
    assert op is not None
    return replace(op, **changes)


def without_size_rules(rule: Callable[[Instance], Layout]) -> Callable[[Instance], Layout]:
    def wrong(instance: Instance) -> Layout:
        layout = rule(instance)
        return replace(layout, sizes=(), ties=())

    return wrong


def layer_norm_without_statistic(instance: Instance) -> Layout | str:
    if len(instance["normalized_shape"]) > 1:
        return nothing_moves(instance)
    return "... c, c, c -> ... c | c = normalized_shape[0]"


def avg_pool_bounds_without_padding(a: Arguments, of: Reader) -> Interval:
    return of(a["input"]) if a["divisor_override"] is None else ANYTHING


def softplus_bounds_without_ln_2(a: Arguments, of: Reader) -> Interval:
    return of(a["input"]).map(lambda x: max(x, 0.0))


def attention_under_any_width(instance: Instance) -> Layout | str:
    plain = len(instance.operands) == 3 and not instance["is_causal"]
    if not plain or instance["enable_gqa"]:
        return nothing_moves(instance)
    return "... T d, ... S d, ... S v -> ... T v"


def with_roles(
    rule: AxisRule, change: Callable[[Atom, Role], Role]
) -> Callable[[Instance], Layout]:
    """The same rule with other roles."""

    def wrong(instance: Instance) -> Layout:
        assert callable(rule)
        layout = rule(instance)
        assert isinstance(layout, Layout)
        roles = {atom: change(atom, role) for atom, role in layout.roles.items()}
        return replace(layout, roles=roles)

    return wrong


def freely(*names: str) -> Callable[[Atom, Role], Role]:
    """Lets some atoms take any map."""
    return lambda atom, role: replace(role, maps="any") if atom.name in names else role


def copied(*names: str) -> Callable[[Atom, Role], Role]:
    """Lets some atoms be copied everywhere, where they had other ways."""

    def change(atom: Atom, role: Role) -> Role:
        ways = tuple(("copy",) * len(way) for way in role.ways[:1])
        return replace(role, ways=ways) if atom.name in names else role

    return change


def picks_move(atom: Atom, role: Role) -> Role:
    return Role("map", "any", (("copy", "copy"),)) if atom.name == "Picked" else role


def sums_are_means(atom: Atom, role: Role) -> Role:
    return replace(role, maps="equal") if role.kind == "norm" else role


def rule_of(name: str) -> AxisRule:
    return declared(name).axes


def convolution_with_free_outputs(instance: Instance) -> str:
    return "... I H, o J K, o -> ... o H'"


WRONG = {
    "AXIS-4": {
        "a norm filed as a statistic": declared("norm", axes=reducing("stat")),
        "an unbiased variance filed as a statistic": declared("var", axes=reducing("stat")),
        "a mean that takes any map": declared("mean", axes=reducing("map")),
        "a sum that is copied": declared("sum", axes=reducing("stat")),
        "a maximum that may lose units": declared("amax", axes=reducing("map")),
        "a softmax mapped freely along its axis": declared("softmax", axes=elementwise()),
        "a layer norm without its statistic": declared(
            "layer_norm", axes=layer_norm_without_statistic
        ),
        "a group norm with free spatial axes": declared(
            "group_norm",
            axes="b (g c) ..., (g c), (g c) -> b (g c) ... | stat c; g = num_groups",
        ),
        "a batch norm whose batch is free in train mode": declared(
            "batch_norm", axes="b c ..., c, c, c, c -> b c ..."
        ),
        "a convolution that ignores its groups": declared(
            "conv2d", axes="... i H W, o I K L, o -> ... o H' W' | lin o"
        ),
        "a grouped convolution whose outputs are one axis": declared(
            "conv1d", axes=convolution_with_free_outputs
        ),
        "a split through a bias that lacks the axis": declared(
            "linear", axes="... i, o i, o -> ... o | lin o ..."
        ),
        "an activation that passes splits": declared("relu", axes=elementwise("input")),
        "a product split in both operands": declared("mul", axes=elementwise("input", "other")),
        "a quotient split in its denominator": declared("div", axes=elementwise(each=True)),
        "an embedding whose vocabulary moves": declared(
            "embedding", axes="..., v d -> ... d | lin d v"
        ),
        "an attention whose width moves under the default scale": declared(
            "scaled_dot_product_attention",
            axes=attention_under_any_width,
        ),
        "a view whose numbers do not follow": declared(
            "reshape", axes=without_size_rules(view_rule)
        ),
        "a recurrent weight copied in its columns": declared(
            "gru", axes=with_roles(rule_of("gru"), copied("h"))
        ),
        "an input of a recurrent layer copied in both": declared(
            "lstm_cell", axes=with_roles(rule_of("lstm_cell"), copied("i"))
        ),
        "heads that are copied into their mean unequally": declared(
            "multi_head_attention",
            axes=with_roles(rule_of("multi_head_attention"), freely("h")),
        ),
        "a width of attention without its heads": declared(
            "multi_head_attention", axes=without_size_rules(rule_of("multi_head_attention"))
        ),
        "a picked unit that is copied": declared(
            "setitem", axes=with_roles(rule_of("setitem"), picks_move)
        ),
        "a normed weight copied along its norm": declared(
            "weight_norm", axes=with_roles(rule_of("weight_norm"), freely("d1"))
        ),
        "a loss that is summed taken for a mean": declared(
            "mse_loss", axes=with_roles(rule_of("mse_loss"), sums_are_means)
        ),
        "a glu with free halves": declared("glu", axes="... (a + b) -> ... a"),
    },
    "FACT-1": {
        "a bound that is too tight": declared("gelu", bounds=lambda a, of: Interval(low=-0.15)),
        "a bound that forgets the padding": declared(
            "avg_pool2d", bounds=avg_pool_bounds_without_padding
        ),
        "a bound that forgets ln 2": declared("softplus", bounds=softplus_bounds_without_ln_2),
        "a range taken from the other operand": declared(
            "sub", bounds=lambda a, of: of(a["input"])
        ),
    },
    "FACT-2": {
        "gelu taken for the identity": declared("gelu", identity_on=lambda _: Interval(low=0.0)),
        "selu taken for the identity": declared("selu", identity_on=lambda _: Interval(low=0.0)),
        "leaky relu taken for the identity": declared(
            "leaky_relu", identity_on=lambda _: Interval(-1.0, 1.0)
        ),
    },
    "FACT-3": {
        "sigmoid said to keep zero": declared("sigmoid", keeps_zero=True),
    },
    "OPS-2": {
        "an operand order mixed up": declared(
            "sub", spellings=(Spelling(torch.rsub, "input, other, *, alpha=1"),)
        ),
        "a default that is not torch's": declared(
            "elu", parameters="input, alpha=0.5", axes=nothing_moves, bounds=None, identity_on=None
        ),
        "a spelling of another function": declared(
            "exp", spellings=(Spelling(torch.expm1, "input"),)
        ),
        "a callable that torch shows as another": declared(
            "gt", spellings=(Spelling(operator.lt, "other, input"),)
        ),
    },
    "no sample": {
        "a spelling that no sample uses": declared(
            "hardtanh", spellings=(Spelling(F.relu, "input, -inplace=False", (("min_val", 7.0),)),)
        ),
        "no samples": declared("tanh", samples=lambda _: ()),
    },
}


@pytest.mark.parametrize(
    ("law", "wrong"),
    [pytest.param(law, op, id=name) for law, ops in WRONG.items() for name, op in ops.items()],
)
def test_a_wrong_declaration_is_caught(law: str, wrong: Op):
    """OPS-1, OPS-2: the same check rejects it, by the law that it breaks."""
    table = OpTable([wrong])

    def check() -> None:
        for seed in SEEDS:
            check_op(wrong, table, seed)

    with pytest.raises(ContractError, match=law):
        check()


def test_op_names_do_not_collide_with_the_markers_of_the_recording():
    assert not {op.name for op in OPS} & {"alias", "escape", "python", "scripted"}
