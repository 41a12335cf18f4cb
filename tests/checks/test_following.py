"""CERT-11 to CERT-13 on whole models: what is proved, and what a wrong edit is told."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.checks import check_certificate
from morphir.checks.following import Candidate, Following, _check_sizes
from morphir.checks.forms import FormTable
from morphir.checks.rejection import Rejection
from morphir.frontend import record
from morphir.ir import (
    AxisMap,
    Certificate,
    Grade,
    Mapped,
    Relation,
    ResizeClaim,
    TensorType,
    Value,
)
from morphir.ops import DEFAULT_TABLE
from morphir.ops.forms import Atom
from tests.checks.changed_nets import (
    CASES,
    attention,
    dense,
    grouped,
    grown,
    images,
    normalised,
    sides,
)
from tests.checks.pairs import Net
from tests.checks.resized import check, coarse, resize


def proved(old, new, tensors, *inputs, **options) -> bool:
    found = check(old, new, tensors, *inputs, **options)
    assert found.grade in (Grade.PROVED, Grade.UNKNOWN)
    assert (found.grade is Grade.PROVED) != bool(found.where), found
    return found.grade is Grade.PROVED


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_cert_11_changes_of_axes_are_proved(case, mode):
    torch.manual_seed(0)
    net, tensors, attributes, x = case()
    new = resize(coarse(net), tensors, **attributes)
    with torch.no_grad():
        gap = (new.eval().double()(x.double()) - net.eval().double()(x.double())).abs().max()
    assert gap < 1e-12
    net.float(), new.float()
    assert proved(net, new, tensors, x, mode=mode)


@pytest.mark.parametrize("case", CASES)
def test_cert_10_every_number_of_every_changed_tensor_counts(case):
    """One number an ulp off, in each tensor that was claimed: all are found but the free ones."""
    torch.manual_seed(0)
    net, tensors, attributes, x = case()
    new = resize(coarse(net), tensors, **attributes)
    found = 0
    for name in tensors:
        mutant = copy.deepcopy(new)
        tensor = mutant.get_parameter(name) if name in dict(new.named_parameters()) else None
        tensor = mutant.get_buffer(name) if tensor is None else tensor
        with torch.no_grad():
            tensor.view(-1)[0] = torch.nextafter(tensor.view(-1)[0], torch.tensor(9.0))
        found += not proved(net, mutant, tensors, x)
    assert found == len(tensors)


def test_cert_10_a_claim_about_a_tensor_that_there_is_not_is_rejected():
    net, tensors, attributes, x = dense()
    new = resize(coarse(net), tensors, **attributes)
    found = check(net, new, {**tensors, "3.weight": (Mapped(3),)}, x)
    assert found.grade is Grade.UNKNOWN
    assert found.where == "3.weight"


def test_cert_10_a_claim_is_about_every_axis():
    net, tensors, attributes, x = dense()
    new = resize(coarse(net), tensors, **attributes)
    found = check(net, new, {**tensors, "0.weight": tensors["0.weight"][:1]}, x)
    assert found.grade is Grade.UNKNOWN
    assert "claimed of f32[8, 4]" in found.summary


def test_cert_10_what_changed_is_of_the_kind_and_the_names_that_it_was():
    net, tensors, attributes, x = dense()
    new = resize(coarse(net), tensors, **attributes)
    buffer, tied = copy.deepcopy(new), copy.deepcopy(new)
    bias = buffer[0].bias.detach()
    del buffer[0].bias
    buffer[0].register_buffer("bias", bias)
    tied[0].other = tied[0].bias
    for model, what in ((buffer, "buffer ()"), (tied, "parameter ('0.other',)")):
        found = check(net, model, tensors, x)
        assert found.grade is Grade.UNKNOWN
        assert found.where == "@0.bias"
        assert found.summary == f"CERT-10: another kind or other names: {what}"


# -- claims that are wrong ------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_cert_11_a_change_that_leaves_out_a_tensor_is_not_proved(case):
    """Claimed in full or not, the new model would not even run: here its claim is incomplete."""
    torch.manual_seed(0)
    net, tensors, attributes, x = case()
    new = resize(coarse(net), tensors, **attributes)
    for name in tensors:
        claimed = {key: change for key, change in tensors.items() if key != name}
        assert not proved(net, new, claimed, x)


@pytest.mark.parametrize("by_view", [False, True])
def test_cert_11_a_query_that_is_copied_to_another_head_is_not_proved(by_view: bool):
    """The third query of the first head is one of the second head, whose keys it does not meet."""
    torch.manual_seed(0)
    net, tensors, attributes, x = grouped(by_view=by_view, source=(0, 1, 2, 2, 3, 3))
    assert not proved(net, resize(coarse(net), tensors, **attributes), tensors, x)


def test_cert_11_copies_that_meet_copies_are_not_proved():
    """q and k both copied: the prototype's worst bug."""
    torch.manual_seed(0)
    net, tensors, attributes, x = attention()
    wrong = {**tensors, "k.weight": tensors["q.weight"], "k.bias": tensors["q.bias"]}
    new = resize(coarse(net), wrong, **attributes)
    found = check(net, new, wrong, x)
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-11")
    assert "matmul" in found.where


def test_cert_11_unequal_copies_under_a_mean_are_not_proved():
    torch.manual_seed(0)
    net, tensors, attributes, x = normalised()
    copy_, split = sides(grown(4, 0, 0, 1, 2))
    swap = {4: {"copy": copy_, "split": split}}
    wrong = {
        name: tuple(swap[4][a.polarity] if a.map is not None else a for a in change)
        for name, change in tensors.items()
    }
    new = resize(coarse(net), wrong, **attributes)
    found = check(net, new, wrong, x)
    assert found.grade is Grade.UNKNOWN
    assert "layer_norm" in found.where


def test_cert_11_different_units_that_meet_are_not_proved():
    """A residual sum whose sides were widened by different maps."""
    torch.manual_seed(0)
    one, one_split = sides(grown(4, 0))
    other, _ = sides(grown(4, 1))
    net = Net(
        lambda s, x: s.out((s.a(x) + s.b(x)).relu()),
        a=nn.Linear(3, 4), b=nn.Linear(3, 4), out=nn.Linear(4, 2),
    )  # fmt: skip
    tensors = {
        "a.weight": (one, Mapped(3)), "a.bias": (one,),
        "b.weight": (other, Mapped(3)), "b.bias": (other,),
        "out.weight": (Mapped(2), one_split),
    }  # fmt: skip
    new = resize(coarse(net), tensors)
    found = check(net, new, tensors, torch.randn(2, 3))
    assert found.grade is Grade.UNKNOWN
    assert "add" in found.where


@pytest.mark.parametrize(
    "code",
    [
        lambda s, x: s.out(s.fc(x).relu()) / s.fc(x).shape[1],
        lambda s, x: s.out(s.fc(x).relu()).reshape(-1)[: s.fc.out_features],
        lambda s, x: s.out(s.fc(x).relu().flip(-1)),
        lambda s, x: s.out(s.fc(x).relu().roll(1, -1)),
        lambda s, x: s.out(s.fc(x).softmax(-1)),
        lambda s, x: s.out(s.fc(x).cumsum(-1)),
        lambda s, x: s.out(s.fc(x).sort(-1)[0]),
        lambda s, x: s.out(torch.logcumsumexp(s.fc(x), -1)),  # which is not declared
    ],
)
def test_cert_11_what_depends_on_the_axis_is_not_proved(code):
    torch.manual_seed(0)
    copy_, split = sides(grown(6, 0))
    net = Net(code, fc=nn.Linear(3, 6), out=nn.Linear(6, 2))
    tensors = {
        "fc.weight": (copy_, Mapped(3)), "fc.bias": (copy_,), "out.weight": (Mapped(2), split),
    }  # fmt: skip
    new = resize(coarse(net), tensors, fc__out_features=7)
    assert not proved(net, new, tensors, torch.randn(8, 3))


def test_cert_12_data_is_moved_as_its_numbers_are():
    """A layout that is wrong about a view: the numbers of the elements tell."""
    from morphir.ops import OpTable

    torch.manual_seed(0)
    net, tensors, attributes, x = attention()
    new = resize(coarse(net), tensors, **attributes)
    before, after = (record(m, example_inputs=(x,)).program for m in (net, new))
    claim = Certificate(before.hash, after.hash, resizes=(ResizeClaim("WIDER-1", "", tensors),))
    rolled = DEFAULT_TABLE.get("reshape")

    def swap(input, shape):
        return rolled.run(input=input, shape=shape).roll(1, -2)

    lying = OpTable([replace(o, run=swap) if o is rolled else o for o in DEFAULT_TABLE.ops])
    assert check_certificate(before, after, claim, DEFAULT_TABLE).grade is Grade.PROVED
    found = check_certificate(before, after, claim, lying)
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-12")


def test_cert_13_an_output_keeps_its_axes():
    torch.manual_seed(0)
    copy_, _ = sides(grown(3, 0))
    net = nn.Sequential(nn.Linear(4, 3))
    tensors = {"0.weight": (copy_, Mapped(4)), "0.bias": (copy_,)}
    found = check(net, resize(coarse(net), tensors), tensors, torch.randn(2, 4))
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-13")


def test_cert_13_an_update_changes_as_its_state_did():
    torch.manual_seed(0)
    net, tensors, _, x = images()
    turned, _ = sides(AxisMap.copies(8, (2, 5, 0, 1, 3, 4, 6, 7, 2, 2, 2)))
    new = resize(coarse(net), {**tensors, "1.running_mean": (turned,)})
    claimed = {**tensors, "1.running_mean": (turned,)}
    assert not proved(net, new, claimed, x, mode="train")


@pytest.mark.parametrize("unit", [2, 5])
def test_cert_13_what_is_written_into_state_has_its_units(unit: int):
    """CERT-13: nobody reads the state, so nothing else could tell"""

    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        h = s.a(x)
        if s.training:
            s.m = h.mean(0)
        return s.b(h.relu())

    (copy_, split), (remembered, _) = sides(grown(8, 2)), sides(grown(8, unit))
    old = coarse(Net(forward, a=nn.Linear(4, 8), b=nn.Linear(8, 3), m=torch.randn(8)))
    tensors = {
        "a.weight": (copy_, Mapped(4)), "a.bias": (copy_,), "b.weight": (Mapped(3), split),
        "m": (remembered,),
    }  # fmt: skip
    new = resize(old, tensors)
    assert proved(old, new, tensors, torch.randn(2, 4), mode="train") is (unit == 2)


def test_cert_11_what_did_not_change_is_not_related():
    """CERT-11: two calls come before the first of a wider layer."""
    layers = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)]
    net = coarse(nn.Sequential(*layers))
    copied, split = sides(grown(8, 2))
    tensors = {
        "2.weight": (copied, Mapped(8)), "2.bias": (copied,), "4.weight": (Mapped(3), split),
    }  # fmt: skip
    found = check(net, resize(net, tensors), tensors, torch.randn(2, 4))
    assert "3 tensors and 3 calls related exactly" in found.summary


def test_cert_11_a_call_that_writes_is_no_call_that_does_not():
    net, _, _, x = images()
    graph = record(net, example_inputs=(x,), mode="train").program.graphs["forward"]
    node = next(node for node in graph.nodes if node.writes)
    op = DEFAULT_TABLE.get(node.op)
    atom = FormTable().atom("", None)
    candidate = Candidate(node, (atom,) * len(node.outputs), atom, atom, repr)
    Following({}).follow(node, op, candidate, repr)
    reads = replace(node, writes=(), outputs=node.results)
    with pytest.raises(Rejection, match="the arguments differ"):
        Following({}).follow(reads, op, candidate, repr)


@pytest.mark.parametrize("case", CASES)
def test_cert_11_tensors_are_read_where_they_are(case):
    """CERT-11: not where new ones would be made, which may be another device."""
    torch.manual_seed(0)
    net, tensors, attributes, x = case()
    new = resize(coarse(net), tensors, **attributes)
    before, after = (record(m, example_inputs=(x,)).program for m in (net, new))
    claim = Certificate(before.hash, after.hash, resizes=(ResizeClaim("WIDER-1", "", tensors),))
    with torch.device("meta"):
        found = check_certificate(before, after, claim, DEFAULT_TABLE)
    assert found.grade is Grade.PROVED, found


def test_cert_11_a_size_that_did_not_change_is_the_same_number():
    net, tensors, _, x = dense()
    old = Net(lambda s, x: s.b(s.a(x).relu() * x.shape[1]), a=net[0], b=net[2])
    tensors = {name.replace("0", "a").replace("2", "b"): c for name, c in tensors.items()}
    new = resize(coarse(old), tensors)
    assert proved(old, new, tensors, x)
    new._function = lambda s, x: s.b(s.a(x).relu() * (x.shape[1] + 1))
    assert not proved(old, new, tensors, x)


def test_a_claim_of_several_steps_is_about_several_models():
    net, x = nn.Linear(3, 3), torch.randn(2, 3)
    program = record(net, example_inputs=(x,)).program
    step = Certificate(program.hash, program.hash)
    chain = Certificate(program.hash, program.hash, steps=(step, step))
    found = check_certificate(program, program, chain, DEFAULT_TABLE)
    assert found.grade is Grade.UNKNOWN
    assert "has 2 steps" in found.summary
    assert Certificate.from_json(chain.to_json()) == chain


def test_cert_5_draws_in_another_order_are_other_draws():
    """CERT-5, CERT-11: the last of three draws is the same one again"""

    def dropped(x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, 0.5)

    def in_turn(s: Net, x: torch.Tensor) -> torch.Tensor:
        one, two, three = dropped(s.a(x)), dropped(s.b(x)), dropped(s.c(x))
        return s.out(one) + s.out(two) + s.out(three)

    def swapped(s: Net, x: torch.Tensor) -> torch.Tensor:
        two, one, three = dropped(s.b(x)), dropped(s.a(x)), dropped(s.c(x))
        return s.out(one) + s.out(two) + s.out(three)

    copy_, split = sides(grown(4, 0))
    layers = {name: coarse(nn.Linear(3, 4)) for name in "abc"}
    old = Net(in_turn, **layers, out=coarse(nn.Linear(4, 2)))
    tensors = {"out.weight": (Mapped(2), split)}
    for name in layers:
        tensors |= {f"{name}.weight": (copy_, Mapped(3)), f"{name}.bias": (copy_,)}
    new = resize(old, tensors)
    assert proved(old, new, tensors, torch.randn(2, 3), mode="train")
    new._function = swapped
    assert not proved(old, new, tensors, torch.randn(2, 3), mode="train")


def test_cert_3_an_identity_before_what_changed_is_one_all_the_same():
    """CERT-3, CERT-11: a call on what did not change that the old program does not have"""
    net, _, _, x = dense()
    old = Net(lambda s, x: s.b(s.a(x.relu()).relu()), a=net[0], b=net[2])
    copy_, split = sides(grown(8, 2))
    tensors = {"a.weight": (copy_, Mapped(4)), "a.bias": (copy_,), "b.weight": (Mapped(3), split)}
    new = resize(coarse(old), tensors)
    new._function = lambda s, x: s.b(s.a(x.relu().relu()).relu())
    assert proved(old, new, tensors, x)


def test_cert_11_a_result_has_the_sizes_that_its_relations_say():
    """CERT-11: a layout that is wrong about a size"""
    value = Value("h", "node", TensorType(torch.float32, (2, 5)))
    copied = Relation.copied(grown(4, 0))
    _check_sizes((None, copied), [Atom("b", 2), Atom("h", 5)], value)
    with pytest.raises(Rejection, match="is not what its relations say"):
        _check_sizes((None, copied), [Atom("b", 2), Atom("h", 6)], value)


def test_cert_11_calls_are_found_again_behind_others():
    """CERT-11: on the same operand there are several, and the nearest is another one"""

    def whole(s: Net, x: torch.Tensor) -> torch.Tensor:
        h = s.a(x)
        one, two = F.dropout(h, 0.5), F.dropout(h, 0.5)
        return s.out((one + two).sum(1) + h[:, :2].sum(1) + h[:, 1:3].sum(1))

    def behind(s: Net, x: torch.Tensor) -> torch.Tensor:
        x.sin().cos()
        return whole(s, x)

    copy_, split = sides(grown(4, 0))
    old = Net(whole, a=coarse(nn.Linear(3, 4)), out=coarse(nn.Linear(4, 2)))
    tensors = {
        "a.weight": (copy_, Mapped(3)), "a.bias": (copy_,), "out.weight": (Mapped(2), split),
    }  # fmt: skip
    new = resize(old, tensors)
    new._function = behind
    assert proved(old, new, tensors, torch.randn(2, 5, 3), mode="train")


# -- units that are zero --------------------------------------------------------------------------


def dead_unit(bias: float) -> tuple[nn.Module, dict, torch.Tensor]:
    """A unit that the first layer never reaches, with outgoing weights of its own."""
    torch.manual_seed(0)
    net = coarse(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    with torch.no_grad():
        net[0].weight[1] = 0
        net[0].bias[1] = bias
    gone = Mapped(3, AxisMap.copies(3, (0, 2)), "copy")
    tensors = {"0.weight": (gone, Mapped(4)), "0.bias": (gone,), "2.weight": (Mapped(2), gone)}
    return net, tensors, torch.randn(2, 4)


def test_cert_14_a_unit_that_is_zero_may_have_any_weight():
    net, tensors, x = dead_unit(-1.0)
    found = check(net, resize(net, tensors), tensors, x)
    assert found.grade is Grade.PROVED
    assert "units left out are 0" in found.summary


def test_cert_14_a_unit_is_zero_without_a_batch_too():
    net, tensors, _ = dead_unit(-1.0)
    assert proved(net, resize(net, tensors), tensors, torch.randn(4))


@pytest.mark.parametrize("bias", [1e-30, 0.5])
def test_cert_14_one_that_is_not_may_not(bias: float):
    net, tensors, x = dead_unit(bias)
    assert not proved(net, resize(net, tensors), tensors, x)


def test_cert_14_within_bounds_it_is_proved_on_the_box():
    net, tensors, x = dead_unit(-9.0)
    with torch.no_grad():
        net[0].weight[1] = torch.tensor([1.0, -1.0, 0.5, 0.0])
    new = resize(net, tensors)
    before, after = (record(m, example_inputs=(x,)).program for m in (net, new))
    claim = ResizeClaim("PRUNE-1", "", tensors)
    for bound, grade in ((3.0, Grade.PROVED_ON_BOX), (4.0, Grade.UNKNOWN)):
        box = {"input": (-bound, bound)}
        certificate = Certificate(before.hash, after.hash, resizes=(claim,), box=box)
        assert check_certificate(before, after, certificate, DEFAULT_TABLE).grade is grade
        assert Certificate.from_json(certificate.to_json()) == certificate


def test_cert_14_some_units_are_zero_whatever_the_input_and_others_within_bounds():
    """CERT-14: the bounds are needed for the second one only"""
    net, tensors, x = dead_unit(-1.0)
    with torch.no_grad():
        net[0].weight[2], net[0].bias[2] = torch.tensor([1.0, -1.0, 0.5, 0.0]), -9.0
    gone = Mapped(3, AxisMap.copies(3, (0,)), "copy")
    tensors = {"0.weight": (gone, Mapped(4)), "0.bias": (gone,), "2.weight": (Mapped(2), gone)}
    new = resize(net, tensors)
    before, after = (record(m, example_inputs=(x,)).program for m in (net, new))
    claims = (ResizeClaim("PRUNE-1", "", tensors),)
    certificate = Certificate(before.hash, after.hash, resizes=claims, box={"input": (-3.0, 3.0)})
    found = check_certificate(before, after, certificate, DEFAULT_TABLE)
    assert found.grade is Grade.PROVED_ON_BOX


@pytest.mark.parametrize("gone", range(3))
def test_cert_14_what_only_units_read_that_are_left_out_may_have_any_weight(gone: int):
    """CERT-14: one unit of the first layer has a weight for one of the second, and both go"""
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    stay = [unit for unit in range(3) if unit != gone]
    with torch.no_grad():
        net[2].weight[stay, gone] = 0
        net[4].weight[:, gone] = 0
    first, second = (AxisMap.copies(3, stay) for _ in range(2))
    tensors = {
        "0.weight": (Mapped(3, first), Mapped(4)),
        "0.bias": (Mapped(3, first),),
        "2.weight": (Mapped(3, second), Mapped(3, first)),
        "2.bias": (Mapped(3, second),),
        "4.weight": (Mapped(2), Mapped(3, second, "split")),
    }
    x = torch.randn(2, 4)
    assert proved(net, resize(net, tensors), tensors, x)
    for unit in stay:
        other = copy.deepcopy(net)
        with torch.no_grad():
            other[2].weight[unit, gone] = 1e-30
        assert not proved(other, resize(other, tensors), tensors, x)


@pytest.mark.parametrize("error", [0.0, 2.0**-20])
def test_cert_15_a_change_may_be_claimed_from_the_new_program_to_the_old(error: float):
    """CERT-15: the old model is the new one, widened"""
    net, tensors, attributes, x = dense()
    wide = resize(coarse(net), tensors, **attributes)
    with torch.no_grad():
        wide[2].weight[0, 0] += error
    before, after = (record(m, example_inputs=(x,)).program for m in (wide, net))
    claim = ResizeClaim("COMPACT-2", "", tensors, inverse=True)
    certificate = Certificate(before.hash, after.hash, resizes=(claim,))
    expected = Grade.UNKNOWN if error else Grade.PROVED
    assert check_certificate(before, after, certificate, DEFAULT_TABLE).grade is expected
    assert check_certificate(after, before, certificate, DEFAULT_TABLE).grade is Grade.UNKNOWN
    assert certificate.inverted.inverted == certificate
    assert Certificate.from_json(certificate.to_json()) == certificate
