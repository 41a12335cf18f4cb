import pytest
import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.frontend.entry import EntryPoint, public_methods, resolve_entry_points
from tests.frontend.models import POINT, Agent, Mlp, Structured, X


def resolve(model: torch.nn.Module, name: str) -> EntryPoint:
    (entry,) = resolve_entry_points(model, (name,))
    return entry


def test_a_method_a_submodule_and_a_method_of_a_submodule():
    model = Mlp()
    for name, owner, method in [
        ("forward", "", "forward"),
        ("extractor", "extractor", "forward"),
        ("extractor.0", "extractor.0", "forward"),
        ("extractor.0.forward", "extractor.0", "forward"),
        ("extractor.0.extra_repr", "extractor.0", "extra_repr"),
    ]:
        entry = resolve(model, name)
        assert (entry.name, entry.owner, entry.method) == (name, owner, method)


def test_forward_is_called_through_the_module_so_that_its_hooks_run():
    model = Mlp()
    assert resolve(model, "forward").function(model) is model
    assert resolve(model, "head").function(model) is model.head
    assert resolve(Agent(), "get_value").function(agent := Agent()) == agent.get_value


def test_arguments_are_named_by_their_parameter_and_path():
    entry = resolve(Structured(), "forward")
    arguments = (({"obs": X},), {"point": POINT, "mask": None})
    assert [path for path, _ in entry.tensors(arguments)] == [
        "batch['obs']", "point.mean", "point.scale",
    ]  # fmt: skip


def test_names_given_twice_are_recorded_once():
    assert [e.name for e in resolve_entry_points(Mlp(), ("forward", "head", "forward"))] == [
        "forward", "head",
    ]  # fmt: skip


def test_a_wrong_name_lists_the_methods_there_are():
    assert public_methods(Agent()) == ["get_value", "get_action_and_value"]
    with pytest.raises(RefusalError, match="Agent has no method 'value'") as caught:
        resolve(Agent(), "value")
    assert "entry_points=('get_value',)" in caught.value.suggestions
    with pytest.raises(RefusalError, match="no method 'training'"):
        resolve(Agent(), "training")


def test_a_misspelt_name_gives_the_nearest_one_first():
    for model, name, nearest in [
        (Agent(), "get_action", "get_action_and_value"),
        (Agent(), "getvalue", "get_value"),
        (Mlp(), "forwrd", "forward"),
        (Mlp(), "extracter", "extractor"),
        (Mlp(), "hed", "head"),
        (nn.Sequential(Agent()), "0.value", "0.get_value"),
    ]:
        with pytest.raises(RefusalError) as caught:
            resolve(model, name)
        assert caught.value.suggestions[0] == f"entry_points=({nearest!r},)"
