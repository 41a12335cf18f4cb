"""A changed model goes to a file and comes back."""

import ast
import doctest
import json
import pickle
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn
from torch.nn.utils import parametrizations

import morphir
from morphir.errors import MorphirError, RefusalError, StorageError
from morphir.lineage import lineage_of
from tests.specimens import Agent, Attributes, Conv, Net, fingerprint, train_a_little

STATE = Path(morphir.__file__).parent / "state"


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters())


def grown(kind=Net, **options) -> morphir.TransformResult:
    model = kind()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    at = {Net: "extractor.1", Attributes: "act"}[kind]
    result = morphir.transform(model, morphir.DeeperPass(at=at), optimizer=optimizer, **options)
    train_a_little(result.module, result.optimizer)
    return result


@pytest.mark.parametrize("kind", [Net, Attributes])
def test_state_8_a_result_comes_back_with_its_optimizer(kind, tmp_path):
    """STATE-8, STATE-5"""
    result, path = grown(kind), tmp_path / "a.safetensors"
    morphir.save(result, path)
    model, optimizer = morphir.load(path, kind, optimizer=adam)
    assert type(model) is kind
    assert lineage_of(model) == result.lineage
    assert [*model.state_dict()] == [*result.module.state_dict()]
    x = torch.randn(3, 4)
    assert torch.equal(model(x), result.module(x))
    assert optimizer.param_groups[0]["lr"] == 0.01
    for each, its in ((model, optimizer), (result.module, result.optimizer)):
        torch.manual_seed(5)
        train_a_little(each, its)
    assert all(map(torch.equal, model.parameters(), result.module.parameters()))


class Everything(nn.Module):
    """Tied weights, buffers, empty and 0-dimensional tensors, mixed dtypes, odd strides, extras."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embedding.weight
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.bfloat16))
        self.turned = nn.Parameter(torch.randn(3, 2).t())
        self.empty = nn.Parameter(torch.empty(0, 3))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("alias", self.mask)
        self.register_buffer("cache", torch.zeros(9), persistent=False)
        self.normed = parametrizations.weight_norm(nn.Linear(2, 2))
        self.extra = {"steps": 3, "seen": (1, torch.ones(2))}

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state) -> None:
        self.extra = state

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.embedding(ids))) * self.scale


def test_state_8_everything_in_a_state_dict_comes_back(tmp_path):
    """STATE-8"""
    path = tmp_path / "a.safetensors"
    model = Everything()
    model(torch.arange(6))
    model = morphir.apply(model, morphir.DeeperPass(at="body.1"), example_inputs=(torch.arange(6),))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    model.extra["steps"] = 4
    morphir.save(model, path)
    again = morphir.load(path, Everything)
    for name, value in model.state_dict().items():
        found = again.state_dict()[name]
        if isinstance(value, torch.Tensor):
            assert torch.equal(found, value)
            assert found.dtype is value.dtype
            assert found.stride() == value.stride()
    assert again.extra["steps"] == 4
    assert isinstance(again.extra["seen"], tuple)
    assert torch.equal(again.extra["seen"][1], torch.ones(2))
    assert again.head.weight is again.embedding.weight
    names = morphir.inspect(path).tensors
    assert "embedding.weight" in names
    assert "head.weight" not in names
    assert "cache" not in names
    assert names["scale"] == "bf16[]"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_state_8_in_another_dtype(dtype, tmp_path):
    """STATE-8"""
    path = tmp_path / "a.safetensors"
    model = morphir.apply(Net().to(dtype), morphir.DeeperPass(at="extractor.1"))
    morphir.save(model, path)
    again = morphir.load(path, lambda: Net().to(dtype))
    assert all(map(torch.equal, model.parameters(), again.parameters()))
    with pytest.raises(RefusalError, match=r"8 of another shape or dtype"):
        morphir.load(path, Net)


def test_state_8_a_convolution_with_buffers(tmp_path):
    """STATE-8"""
    path, x = tmp_path / "a.safetensors", torch.randn(3, 2, 5, 5)
    model = morphir.apply(Conv(), morphir.DeeperPass(at="conv2"), example_inputs=(x,)).train()
    model(x)
    morphir.save(model, path)
    again = morphir.load(path, Conv)
    assert torch.equal(again.eval()(x), model.eval()(x))
    assert int(again.norm.num_batches_tracked) == 1


def test_state_8_saving_touches_nothing(tmp_path):
    """STATE-8"""
    result = grown()
    before = fingerprint(result.module, [result.optimizer])
    morphir.save(result, tmp_path / "a")
    morphir.save(result.module, tmp_path / "b")
    assert fingerprint(result.module, [result.optimizer]) == before
    assert {each.name for each in tmp_path.iterdir()} == {"a", "b"}


def test_what_inspect_shows(tmp_path):
    path = tmp_path / "a.safetensors"
    morphir.save(grown(), path)
    found = morphir.inspect(path)
    assert found.optimizer == "Adam"
    assert found.versions == {"morphir": morphir.__version__, "torch": torch.__version__}
    assert found.tensors["extractor.1_deeper1.layer.weight"] == "f32[8, 8]"
    assert len(found.tensors) == 8
    text = str(found)
    assert "1.  extractor.1_deeper1 after extractor.1: identity block of 8 (DEEPER-1)" in text
    assert "optimizer: Adam" in text
    morphir.save(Net(), path)
    assert "optimizer: none\nlineage:\n  untouched" in str(morphir.inspect(path))


def test_several_optimizers(tmp_path):
    path = tmp_path / "a.safetensors"

    def make(net: nn.Module) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.SGD(net.extractor.parameters(), lr=0.1, momentum=0.9),
            torch.optim.Adam(net.head.parameters()),
        ]

    net = Net()
    result = morphir.transform(net, morphir.DeeperPass(at="extractor.1"), optimizer=make(net))
    for each in result.optimizer:
        train_a_little(result.module, each)
    morphir.save(result, path)
    assert morphir.inspect(path).optimizer == "SGD, Adam"
    again, others = morphir.load(path, Net, optimizer=make)
    for model, optimizers in ((result.module, result.optimizer), (again, others)):
        for number, each in enumerate(optimizers):
            torch.manual_seed(number)
            train_a_little(model, each)
    assert all(map(torch.equal, again.parameters(), result.module.parameters()))
    with pytest.raises(RefusalError, match="holds 2 optimizers, the factory built 1"):
        morphir.load(path, Net, optimizer=adam)


class Holder(Net):
    def __init__(self) -> None:
        super().__init__()
        self.optimizer = torch.optim.Adam(self.parameters(), lr=0.02)


def test_an_optimizer_that_hangs_on_the_model(tmp_path):
    path = tmp_path / "a.safetensors"
    model = Holder()
    result = morphir.transform(model, morphir.DeeperPass(at="extractor.1"))
    train_a_little(result.module, result.optimizer)
    morphir.save(result, path)
    again, optimizer = morphir.load(path, Holder, optimizer=lambda m: m.optimizer)
    assert optimizer is again.optimizer
    for each in (result.module, again):
        torch.manual_seed(5)
        train_a_little(each, each.optimizer)
    assert all(map(torch.equal, again.parameters(), result.module.parameters()))


def make_policy() -> nn.Module:
    space = gym.spaces.Box(-1, 1, (4,))
    return ActorCriticPolicy(space, gym.spaces.Discrete(3), lambda _: 1e-3)


def test_a_policy_of_another_library(tmp_path):
    """Stable-Baselines3's PPO, with Tanh"""
    path = tmp_path / "a.safetensors"
    pass_ = morphir.DeeperPass(at="mlp_extractor.policy_net.1", block="residual")
    result = morphir.transform(make_policy(), pass_)
    morphir.save(result, path)
    policy, optimizer = morphir.load(path, make_policy, optimizer=lambda p: p.optimizer)
    assert {*map(id, optimizer.param_groups[0]["params"])} == {*map(id, policy.parameters())}
    observations = torch.randn(5, 4)
    for new, old in zip(policy(observations, True), result.module(observations, True), strict=True):
        assert torch.equal(new, old)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Net(9), "other names or shapes"),
        (Attributes, "other names or shapes"),
        (lambda: "no module", "expected a torch.nn.Module, found str"),
        (Net(), "factory= is a Net, expected a function"),
        (None, "factory= is a NoneType, expected a function"),
        (lambda: Net().to("meta"), "on the meta device"),
        (
            lambda: morphir.apply(Net(), morphir.DeeperPass(at="extractor.3")),
            "a lineage of its own",
        ),
    ],
)
def test_another_factory_is_refused(make, message, tmp_path):
    path = tmp_path / "a.safetensors"
    morphir.save(grown(), path)
    before = path.read_bytes()
    with pytest.raises(RefusalError, match=message):
        morphir.load(path, make)
    assert path.read_bytes() == before


def test_an_unchanged_model_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    morphir.save(Net(), path)
    with pytest.raises(RefusalError, match=r"fit the Agent.*8 entries missing, 6 too many"):
        morphir.load(path, Agent)
    with pytest.raises(RefusalError, match="0 entries missing, 0 too many, 5 of another shape"):
        morphir.load(path, lambda: Net(9))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: None, "expected a torch.optim.Optimizer, found NoneType"),
        (lambda m: torch.optim.SGD(m.parameters()), "holds Adam \\(groups: 1\\)"),
        (lambda m: torch.optim.Adam(Net().parameters()), "holds none of the parameters of Net"),
    ],
)
def test_another_optimizer_is_refused(make, message, tmp_path):
    path = tmp_path / "a.safetensors"
    morphir.save(grown(), path)
    with pytest.raises(RefusalError, match=message):
        morphir.load(path, Net, optimizer=make)


@pytest.mark.parametrize("optimizer", [True, torch.optim.Adam([nn.Parameter(torch.zeros(1))])])
def test_an_optimizer_that_is_no_function_is_refused(optimizer, tmp_path):
    path = tmp_path / "a.safetensors"
    morphir.save(Net(), path)
    kind = type(optimizer).__name__
    message = f"optimizer= is a {kind}, expected a function that builds the optimizer over"
    with pytest.raises(RefusalError, match=message):
        morphir.load(path, Net, optimizer=optimizer)


def test_no_optimizer_was_saved(tmp_path):
    path = tmp_path / "a.safetensors"
    morphir.save(grown().module, path)
    with pytest.raises(RefusalError, match=r"0 optimizers, the factory built 1(.|\n)*morphir.save"):
        morphir.load(path, Net, optimizer=adam)


def with_part() -> nn.Module:
    whole = nn.ModuleDict({"policy": Net(), "value": Net()})
    morphir.apply(whole["policy"], morphir.DeeperPass(at="extractor.1"), inplace=True)
    return whole


class Extra(Net):
    def get_extra_state(self):
        return {"function": len}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {"state": 1}, "expected a torch.nn.Module, found dict"),
        (lambda: Net().to("meta"), "on the meta device"),
        (with_part, r"'policy' was changed on its own(.|\n)*try: save that part"),
        (Extra, r"extra/_extra_state/function is a builtin"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_the_old_file_stays(make, message, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(RefusalError, match=message):
        morphir.save(make(), path)
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_an_optimizer_of_something_else_is_not_saved(tmp_path):
    with pytest.raises(RefusalError, match="holds none of the parameters of Net"):
        morphir.save(Net(), tmp_path / "a", optimizer=adam(Net()))


def test_an_unwritable_path_is_one_clear_error(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*No such file or directory"):
        morphir.save(Net(), tmp_path / "missing" / "a.safetensors")


def test_a_saved_file_is_as_readable_as_any_other(tmp_path):
    morphir.save(Net(), tmp_path / "a.safetensors")
    (tmp_path / "plain").touch()
    modes = {each.stat().st_mode for each in tmp_path.iterdir()}
    assert len(modes) == 1


def rewrite(path: Path, change) -> None:
    """Changes the header and makes the checksum right again."""
    from morphir.state import archive

    header, tensors = archive.read_archive(path)
    change(header)
    archive.write_archive(path, header, tensors)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("lineage"),
        lambda header: header.pop("names"),
        lambda header: header.update(lineage="{"),
        lambda header: header.update(lineage=3),
        lambda header: header.update(names=["nowhere"]),
        lambda header: header.update(optimizers=None),
        lambda header: header.update(aliases=[]),
        lambda header: header.update(extra={"x": {"code": 1}}),
        lambda header: header.update(optimizers=[{"class": "Adam"}]),
        lambda header: header["optimizers"][0]["groups"][0].update(params="abc"),
        lambda header: header["optimizers"][0]["groups"][0].update(options=3),
        lambda header: header["optimizers"][0]["state"].update({"head.weight": 3}),
    ],
)
def test_state_7_a_header_that_makes_no_sense_is_one_clear_error(change, tmp_path):
    """STATE-7"""
    path = tmp_path / "a.safetensors"
    morphir.save(grown(), path)
    rewrite(path, change)
    with pytest.raises(MorphirError):
        morphir.load(path, Net, optimizer=adam)


def test_state_7_nothing_that_reads_a_file_can_run_code():
    """STATE-7: no pickle, no torch.load, no eval, no import by name"""
    banned = {"pickle", "marshal", "shelve", "eval", "exec", "__import__", "importlib", "getattr"}
    for path in STATE.glob("*.py"):
        tree = ast.parse(path.read_text())
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used |= {
            alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in [*node.names, ast.alias(getattr(node, "module", None) or "")]
        }
        assert not used & banned, path
        assert "torch.load" not in path.read_text()


def test_state_7_a_pickle_is_not_read(tmp_path):
    """STATE-7"""
    path = tmp_path / "a.pt"
    path.write_bytes(pickle.dumps(Net()))
    for read in (lambda: morphir.load(path, Net), lambda: morphir.inspect(path)):
        with pytest.raises(StorageError, match="cannot read"):
            read()
    torch.save(Net().state_dict(), path)
    with pytest.raises(StorageError, match="cannot read"):
        morphir.load(path, Net)


def test_the_lineage_of_a_file_is_plain_json(tmp_path):
    path = tmp_path / "a.safetensors"
    result = grown()
    morphir.save(result, path)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["morphir"])
    assert json.loads(header["lineage"])["steps"][0]["name"] == "extractor.1_deeper1"


def test_the_examples_of_the_page_give_what_they_show():
    page = Path(__file__).resolve().parents[2] / "spec" / "state.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0
