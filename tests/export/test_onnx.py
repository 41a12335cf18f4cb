"""An ONNX file computes what the module computes, or there is none."""

import builtins
import re

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import morphir
from morphir import RefusalError, StorageError, VerificationError
from morphir.export import comparing
from morphir.export import onnx as exporting
from tests.specimens import Attributes, Net, fingerprint


class Policy(nn.Module):
    """Several inputs, one of them unused in part, and outputs of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.net = morphir.apply(Net(), morphir.DeeperPass(at="extractor.1"))
        self.register_buffer("mean", torch.ones(4))
        self.table = nn.Embedding(5, 3)

    def forward(self, x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor):
        logits = self.net(x - self.mean) + self.table(ids)
        return logits.argmax(-1), {"logits": logits @ weights, "best": logits.max(-1).values > 0}


POLICY_INPUTS = (torch.randn(1, 4), torch.tensor([3]), torch.randn(3, 3))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    policy, path = Policy().train(), tmp_path_factory.mktemp("onnx") / "policy.onnx"
    before = fingerprint(policy)
    report = morphir.export_onnx(policy, path, example_inputs=POLICY_INPUTS)
    assert fingerprint(policy) == before  # training flags too
    return policy, path, report


def test_onnx_1_any_batch_size_agrees_with_the_module(exported):
    """ONNX-1: several inputs, a constant among them, and float, integer and boolean outputs"""
    policy, path, report = exported
    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_inputs()]
    for size in (1, 5, 64):
        x, ids = torch.randn(size, 4), torch.randint(5, (size,))
        args = (x, ids, POLICY_INPUTS[2])
        found = session.run(None, {n: a.numpy() for n, a in zip(names, args, strict=True)})
        with torch.no_grad():
            action, rest = policy.eval()(*args)
        assert torch.equal(torch.from_numpy(found[0]), action)
        scale = rest["logits"].square().mean().sqrt()
        assert float((torch.from_numpy(found[1]) - rest["logits"]).abs().max() / scale) < 1e-5
        assert torch.equal(torch.from_numpy(found[2]), rest["best"])
    assert report.max_relative_error <= comparing.TOLERANCE
    assert report.integers_equal
    assert report.batch_sizes == (1, 2, 7)


def test_what_the_report_and_the_file_say(exported):
    policy, path, report = exported
    assert report.path == str(path)
    assert report.size == path.stat().st_size
    assert report.inputs == {"x": ("batch", 4), "ids": ("batch",), "weights": (3, 3)}
    assert [*report.outputs.values()] == [("batch",), ("batch", 3), ("batch",)]
    model = onnx.load(path)
    assert report.opset == model.opset_import[0].version
    metadata = {each.key: each.value for each in model.metadata_props}
    assert report.metadata.items() <= metadata.items()
    lineage = morphir.lineage.lineage_of(policy.net)
    assert metadata["lineage_sha256"] == f"net {lineage.hash}"
    assert metadata["morphir_version"] == morphir.__version__
    assert metadata["torch_version"] == torch.__version__
    assert metadata["onnxruntime_version"] == onnxruntime.__version__
    assert metadata["model_class"] == "Policy"
    text = str(report)
    assert text.startswith(str(path))
    assert "x[batch, 4], ids[batch], weights[3, 3] -> " in text
    assert "integer outputs equal" in text
    assert [each.name for each in path.parent.iterdir()] == ["policy.onnx"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_onnx_1_in_other_dtypes(dtype, tmp_path):
    """ONNX-1: half precision is as far from the module as that is from the truth"""
    net, x = Net().to(dtype), torch.randn(2, 4, dtype=dtype)
    report = morphir.export_onnx(net, tmp_path / "a.onnx", example_inputs=(x,))
    assert report.max_relative_error < (1e-12 if dtype is torch.float64 else 1e-2)


def test_onnx_1_a_host_with_a_large_file_has_its_weights_beside_it(tmp_path, monkeypatch):
    """ONNX-1: the limit is set low; overwriting takes the old weights away"""
    net = morphir.apply(Attributes(), morphir.DeeperPass(at="act"))
    path = tmp_path / "net.onnx"
    stranger = tmp_path / "net.onnx.mine.data"
    stranger.write_bytes(b"mine")
    old = tmp_path / "net.onnx.0123abcd.data"
    old.write_bytes(b"old weights")
    monkeypatch.setattr(exporting, "EXTERNAL_ABOVE", 200)
    report = morphir.export_onnx(net, path, example_inputs=(torch.randn(2, 4),))
    (weights,) = (p for p in tmp_path.iterdir() if re.fullmatch(r"net\.onnx\.\w{8}\.data", p.name))
    assert weights != old
    assert {p.name for p in tmp_path.iterdir()} == {path.name, weights.name, stranger.name}
    assert report.size == path.stat().st_size + weights.stat().st_size
    assert report.metadata["lineage_sha256"] == morphir.lineage.lineage_of(net).hash
    x = torch.randn(9, 4)
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), net(x), rtol=1e-5, atol=1e-6)
    assert onnx.load(path).graph.initializer  # finds its weights


def test_the_limit_is_below_that_of_protobuf():
    assert exporting.EXTERNAL_ABOVE < 2**31

    class Value:
        def __init__(self, nbytes: int) -> None:
            self.const_value = type("Tensor", (), {"nbytes": nbytes}) if nbytes else None

    graph = type(
        "Graph", (), {"initializers": {"a": Value(2**30), "b": Value(2**30), "c": Value(0)}}
    )
    assert exporting.weight_bytes(type("Model", (), {"graph": graph})) == 2**31


class Wrong:
    """A session that returns something else than the file computes."""

    def __init__(self, real, change) -> None:
        self.real, self.change = real, change
        self.get_inputs, self.get_outputs = real.get_inputs, real.get_outputs

    def run(self, names, feed):
        return self.change(self.real.run(names, feed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out: [out[0] * 1.0001], r"differs from the module \(ONNX-1\)"),
        (lambda out: [out[0] * float("nan")], "worst relative difference inf"),
        (lambda out: [out[0][:, :2]], r"returns \[\[1, 2\]\], the module \[\[1, 3\]\]"),
        (lambda out: [*out, *out], r"returns \[\[1, 3\], \[1, 3\]\]"),
        (lambda out: 1 / 0, r"can't run the file on inputs of shape \[1, 4\](.|\n)*: division"),
    ],
)
def test_onnx_2_a_file_that_differs_is_not_written(
    tmp_path, monkeypatch, small_program, change, message
):
    """ONNX-2: what was there is still there"""
    net, program = small_program
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(exporting, "export_graph", lambda *_: program)
    monkeypatch.setattr(exporting, "EXTERNAL_ABOVE", 100)
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *a, **k: Wrong(real(*a, **k), change)
    )
    with pytest.raises((VerificationError, RefusalError), match=message):
        morphir.export_onnx(net, path, example_inputs=(torch.randn(2, 4),))
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


@pytest.fixture(scope="module")
def small_program():
    torch.manual_seed(0)
    net = Net().eval()
    return net, exporting.export_graph(net, (torch.randn(2, 4),), 2)


def test_what_onnxruntime_cannot_run_is_refused(tmp_path):
    class Short(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3, dtype=torch.bfloat16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.bfloat16()).float()

    with pytest.raises(RefusalError, match=r"onnxruntime can't run the file(.|\n)*\.float\(\)"):
        morphir.export_onnx(Short(), tmp_path / "a.onnx", example_inputs=(torch.zeros(2, 4),))
    assert [*tmp_path.iterdir()] == []


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: torch.Tensor):
        logits = self.net(x)
        return logits.argmax(-1), logits


def test_outputs_get_the_names_asked_for(tmp_path):
    path, x = tmp_path / "net.onnx", torch.randn(2, 4)
    names = ("action", "logits")
    report = morphir.export_onnx(Both(), path, example_inputs=(x,), output_names=names)
    assert report.outputs == {"action": ("batch",), "logits": ("batch", 3)}
    session = onnxruntime.InferenceSession(path)
    action, logits = session.run(["action", "logits"], {"x": x.numpy()})
    assert (logits.argmax(-1) == action).all()
    with pytest.raises(RefusalError, match="expected 2 names"):
        morphir.export_onnx(Both(), path, example_inputs=(x,), output_names=["action"])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


def test_a_file_that_onnxruntime_cannot_run_at_another_size_is_one_clear_refusal(tmp_path, capfd):
    """The exporter wrote the batch of a time-first network into the file."""
    message = r"can't run the file on inputs of shape \[1, 2, 4\], which(.|\n)*batch_first=True"
    inputs = (torch.randn(3, 2, 4),)
    with pytest.raises(RefusalError, match=message) as caught:
        morphir.export_onnx(Recurrent(), tmp_path / "a.onnx", example_inputs=inputs)
    assert str(caught.value).count("\n") == 1
    assert capfd.readouterr().err == ""
    assert [*tmp_path.iterdir()] == []


def test_onnx_2_a_link_is_followed(tmp_path, monkeypatch):
    """ONNX-2: what is large lies beside the file, not beside the link"""
    monkeypatch.setattr(exporting, "EXTERNAL_ABOVE", 0)
    folder = tmp_path / "runs"
    folder.mkdir()
    link = tmp_path / "latest.onnx"
    link.symlink_to(folder / "a.onnx")
    morphir.export_onnx(Net(), link, example_inputs=(torch.zeros(2, 4),))
    assert link.is_symlink()
    assert {*tmp_path.iterdir()} == {link, folder}
    assert sorted(each.suffix for each in folder.iterdir()) == [".data", ".onnx"]


def test_an_unwritable_path_fails_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "export_graph", lambda *_: pytest.fail("the work was done"))
    with pytest.raises(StorageError, match=r"cannot write .*No such file or directory"):
        morphir.export_onnx(Net(), tmp_path / "no" / "a.onnx", example_inputs=(torch.zeros(2, 4),))


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_without_the_extra_it_says_what_to_install(missing, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == missing:
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RefusalError, match=rf"needs {missing}(.|\n)*pip install 'morphir\[onnx\]'"):
        morphir.export_onnx(Net(), tmp_path / "a.onnx", example_inputs=(torch.zeros(2, 4),))


def test_versions_and_lineages_of_parts_are_named():
    whole = nn.ModuleDict({"a": Net(), "b": Net()})
    assert exporting._metadata(whole)["lineage_sha256"] == "none"
    for part in whole.values():
        morphir.apply(part, morphir.DeeperPass(at="extractor.1"), inplace=True)
    hashes = {name: morphir.lineage.lineage_of(whole[name]).hash for name in "ab"}
    assert exporting._metadata(whole)["lineage_sha256"] == f"a {hashes['a']}, b {hashes['b']}"
