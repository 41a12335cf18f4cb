"""The rewriter: it alone makes changed programs, and what it predicts is what surgery emits."""

import copy
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.backend.surgery import Surgery
from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.ir import Program, Removal, Rewriter, check_structure, print_graph, print_program


def block(width: int) -> nn.Sequential:
    """A linear layer that is the identity, and a ReLU."""
    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(OrderedDict(layer=layer, activation=nn.ReLU()))


def insert(rewriter: Rewriter, anchor: str, width: int = 4) -> str:
    module = block(width)
    example = torch.zeros(2, width)
    recorded = record(module, example_inputs=(example,)).program
    return rewriter.insert_after(
        anchor, module, recorded, law="DEEPER-1", spec={"width": width}, follows=()
    )


def check_prediction(
    model: nn.Module, anchors: list[str], **how: Any
) -> tuple[Rewriter, nn.Module]:
    """IR-10: records, rewrites, operates on a copy, records that, and compares."""
    model.eval()
    before = record(model, **how).program
    text = str(before)
    rewriter = Rewriter(before)
    for anchor in anchors:
        insert(rewriter, anchor)
        check_structure(rewriter.program)
    emitted = copy.deepcopy(model)
    Surgery(emitted).apply(rewriter.edits)
    after = record(emitted, **how).program
    assert print_program(after, sources=False) == print_program(rewriter.program, sources=False)
    assert Program.parse(str(rewriter.program)) == rewriter.program
    assert str(before) == text, "the program given to the rewriter has changed"
    return rewriter, emitted


class Net(nn.Module):
    """Nested Sequentials, two heads, a residual, a shared ReLU, and two entry points."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(4, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Dropout()
        )
        self.fc = nn.Linear(4, 4)
        self.relu = nn.ReLU()
        self.policy = nn.Linear(4, 2)
        self.value = nn.Linear(4, 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        h = self.trunk(x)
        return self.relu(h + self.relu(self.fc(h)))

    def get_value(self, x: torch.Tensor) -> torch.Tensor:
        return self.value(self.features(x))

    def get_action_and_value(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.features(x)
        return self.policy(h), self.value(h)


BOTH = ("get_value", "get_action_and_value")


@pytest.mark.parametrize(
    ("anchors", "names"),
    [
        (["trunk.1"], ["trunk.1_deeper1"]),
        (["trunk.2.1"], ["trunk.2.1_deeper1"]),
        (["trunk.2"], ["trunk.2_deeper1"]),
        (["trunk"], ["trunk.trunk_deeper1"]),
        (["relu"], ["relu.relu_deeper1"]),
        (["fc"], ["fc.fc_deeper1"]),
        (["trunk.1", "trunk.1"], ["trunk.1_deeper1", "trunk.1_deeper2"]),
        (["relu", "relu"], ["relu.relu_deeper1", "relu.relu_deeper2"]),
        (["trunk.1", "trunk.1_deeper1"], ["trunk.1_deeper1", "trunk.1_deeper1_deeper1"]),
        (["trunk.1", "trunk.1_deeper1.activation"],
         ["trunk.1_deeper1", "trunk.1_deeper1.activation_deeper1"]),
        (["fc", "fc.fc_deeper1"], ["fc.fc_deeper1", "fc.fc_deeper1.fc_deeper1_deeper1"]),
        (["trunk", "relu", "trunk.0"],
         ["trunk.trunk_deeper1", "relu.relu_deeper1", "trunk.0_deeper1"]),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_prediction_is_the_recording_of_the_emitted_module(
    anchors: list[str], names: list[str]
):
    """IR-10: inside and next to an anchor, in every entry point, at every call."""
    net = Net()
    rewriter, emitted = check_prediction(
        net, anchors, example_inputs=(torch.randn(3, 4),), entry_points=BOTH
    )
    assert [edit.name for edit in rewriter.edits] == names
    assert {*names} <= {*rewriter.program.modules}
    assert not any(edit.assumes for edit in rewriter.edits)
    if anchors[0] not in (
        "fc",
        "trunk.0",
    ):  # elsewhere the inserted ReLU reads what is not negative
        x = torch.randn(5, 4)
        assert torch.equal(net.get_value(x), emitted.get_value(x))


def test_every_call_of_a_shared_module_gets_the_block():
    """IR-10: `relu` runs twice in each of two entry points."""
    rewriter, _ = check_prediction(
        Net(), ["relu"], example_inputs=(torch.randn(3, 4),), entry_points=BOTH
    )
    for graph in rewriter.program.graphs.values():
        assert len(graph.calls_of("relu")) == len(graph.calls_of("relu.relu_deeper1")) == 2


def test_every_reader_after_the_call_reads_the_new_value_and_none_before():
    """IR-10: the trunk's output has two readers, and its input another one."""

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = F.relu(self.fc(x))
            early = h * 2
            g = F.relu(self.fc(h))
            return early + g + h.sum() + g.mean()

    rewriter, _ = check_prediction(Wide(), ["fc"], example_inputs=(torch.randn(3, 4),))
    (graph,) = rewriter.program.graphs.values()
    inserted = [call.results[0] for call in graph.calls_of("fc.fc_deeper1")]
    assert [len(graph.users[value]) for value in inserted] == [1, 1]


def test_a_block_on_another_shape_is_typed_by_what_it_reads():
    """IR-10: the anchor's output has three dimensions, its batch twice the rows."""

    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(self.fc(x.reshape(-1, 4))).sum()

    model = Folded()
    before = record(model, example_inputs=(torch.randn(3, 2, 4),)).program
    rewriter = Rewriter(before)
    insert(rewriter, "fc")
    emitted = copy.deepcopy(model)
    Surgery(emitted).apply(rewriter.edits)
    after = record(emitted, example_inputs=(torch.randn(3, 2, 4),)).program
    assert after == rewriter.program
    assert "f32[2*B, 4] = linear(input=%1, weight=@fc.fc_deeper1.layer.weight" in str(after)


def test_changed_is_observed():
    """IR-9: nothing is changed until an edit is made, whatever a pass says."""
    program = record(Net(), example_inputs=(torch.randn(3, 4),), entry_points=BOTH).program
    rewriter = Rewriter(program)
    assert not rewriter.changed
    assert rewriter.program is program
    insert(rewriter, "trunk.1")
    assert rewriter.changed
    assert rewriter.program is not program
    assert len(rewriter.edits) == 1


def test_an_edit_of_what_is_never_called_changes_no_graph_but_the_state():
    """IR-9"""

    class Half(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.policy(x)

    program = record(Half(), example_inputs=(torch.randn(3, 4),)).program
    rewriter = Rewriter(program)
    insert(rewriter, "trunk.1")
    assert rewriter.changed
    assert "trunk.1.1_deeper1.layer.weight" in rewriter.program.unreached
    before, after = program.graphs["forward"], rewriter.program.graphs["forward"]
    assert print_graph(before) == print_graph(after)


class Aliased(nn.Module):
    """One extractor under three names, as in Stable-Baselines3's policies."""

    def __init__(self) -> None:
        super().__init__()
        self.extractor = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.pi_extractor = self.vf_extractor = self.extractor
        self.act = nn.ReLU()
        self.other = self.act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.pi_extractor(x)) + self.vf_extractor(x)


def test_what_is_put_into_a_module_of_several_names_has_several_names():
    """The second edit goes into what the first has put in."""
    anchors = ["extractor.1", "extractor.1_deeper1.activation", "act"]
    rewriter, emitted = check_prediction(Aliased(), anchors, example_inputs=(torch.zeros(2, 4),))
    entry = rewriter.program.state["extractor.1_deeper1.layer.weight"]
    assert entry.aliases == tuple(f"{n}_{entry.name}" for n in ("pi", "vf"))
    assert {*rewriter.program.state} == {name for name, _ in emitted.named_parameters()}
    assert rewriter.program.shared["extractor.1_deeper1"][0] == "pi_extractor.1_deeper1"


def test_names_of_modules_that_are_there_are_not_taken_again():
    model = nn.Sequential(OrderedDict(a=nn.Linear(4, 4), a_deeper1=nn.ReLU(), b=nn.Linear(4, 4)))
    rewriter, _ = check_prediction(model, ["a"])
    assert rewriter.edits[0].name == "a_deeper2"


def test_a_module_that_returns_its_input_is_marked_as_an_assumption():
    """IR-10: after a dropout in eval mode the program cannot tell who reads what."""

    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.drop = nn.Linear(4, 4), nn.Dropout()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.fc(x)
            return h + self.drop(h)

    model = Skip().eval()
    rewriter = Rewriter(record(model, example_inputs=(torch.randn(3, 4),)).program)
    insert(rewriter, "drop")
    (edit,) = rewriter.edits
    assert "'drop' returns its input" in edit.assumes
    emitted = copy.deepcopy(model)
    Surgery(emitted).apply(rewriter.edits)
    assert record(emitted, example_inputs=(torch.randn(3, 4),)).program != rewriter.program


def test_a_tensor_that_a_module_keeps_is_an_assumption_too():
    """IR-10: it may have been kept by the anchor itself, before the block ran."""

    class Keeping(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.last = super().forward(x)
            return self.last

    model = nn.Sequential(Keeping(4, 4), nn.ReLU())
    rewriter = Rewriter(record(model, example_inputs=(torch.randn(3, 4),)).program)
    insert(rewriter, "1")
    assert not rewriter.edits[0].assumes
    insert(rewriter, "0")
    assert "self.0.last may be kept before '0' returns it" in rewriter.edits[1].assumes


def test_a_module_that_is_used_outside_of_what_was_recorded_is_refused():
    """FRONT-6, at the only place where a program can be changed."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
            self.head = nn.Linear(4, 4)
            self.head.weight = self.net[0].weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.net(x))

    program = record(Tied(), example_inputs=(torch.randn(3, 4),), entry_points=("net",)).program
    rewriter = Rewriter(program)
    with pytest.raises(RefusalError, match=r"'net.0' is used outside .* is also 'head.weight'"):
        insert(rewriter, "net.0")
    assert not rewriter.changed
    insert(rewriter, "net.1")  # holds no tensor
    assert rewriter.changed
    rewriter = Rewriter(program)
    with pytest.raises(RefusalError, match=r"'net\.0' is used outside"):
        rewriter.remove(Removal("net.0", "net.1", "SHALLOWER-1", inside=False))
    assert not rewriter.changed


def test_a_removal_is_an_application_of_its_own():
    program = record(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.ReLU())).program
    rewriter, edit = Rewriter(program), Removal("1", "2", "SHALLOWER-1", inside=False)
    rewriter.remove(edit)
    assert rewriter.removals == (edit,)
    assert rewriter.changed
    assert not rewriter.program.graphs["forward"].calls_of("2")
    with pytest.raises(ValueError, match="applications of their own"):
        insert(rewriter, "1")
    rewriter = Rewriter(program)
    insert(rewriter, "1")
    with pytest.raises(ValueError, match="applications of their own"):
        rewriter.remove(edit)
