"""LOWER-1 and LOWER-2: numbers that are written in a forward become attributes, and then follow."""

import copy

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

import morphir
from morphir import DeeperPass, Grade, RefusalError, WiderPass
from tests.specimens import fingerprint

X = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))


class Heads(nn.Module):
    """Views its features as four heads of sixteen."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(8, 64), nn.Linear(64, 2)

    def forward(self, x):
        heads = self.up(x).view(x.shape[0], 4, 16)
        heads = F.dropout(heads.relu(), 0.5, training=self.training)
        return self.down(heads.flatten(1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(32, 32) for _ in range(3))
        self.out = nn.Linear(32, 32)
        self.register_buffer("scale", torch.tensor(8**-0.5))
        self.heads = 4

    def forward(self, x, mask=None, causal: bool = False):
        batch, length = x.shape[:2]
        q, k, v = (
            layer(x).view(batch, length, self.heads, 32 // self.heads).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-1, -2) * self.scale
        if mask is not None:
            scores = scores + mask
        if causal:
            raise NotImplementedError
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, 32))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(32), Attention()
        self.mlp = nn.Sequential(nn.Linear(32, 48), nn.GELU(), nn.Linear(48, 32))

    def forward(self, x, mask):
        x = x + self.attention(self.norm(x), mask)
        return x + self.mlp(x)


class Transformer(nn.Module):
    """What can't be traced (a test of values) is around what writes numbers."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 32)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(32, 11)

    def forward(self, tokens):
        x = self.embed(tokens)
        if not x.isfinite().all():
            raise ValueError
        mask = torch.zeros(tokens.shape[1], tokens.shape[1])
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x)

    def generate(self, tokens):
        return self(tokens).argmax(-1)


class Between(nn.Module):
    """A function between two layers; `units` of the 24 features reach the second."""

    def __init__(self, between, units):
        super().__init__()
        self.up, self.down, self.between = nn.Linear(8, 24), nn.Linear(units, 3), between

    def forward(self, x):
        return self.down(self.between(self.up(x)))


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(8, 64), nn.Linear(64, 2)

    def forward(self, x):
        h = self.up(x).view(-1, 4, 16)
        if h.sum() > 0:
            h = h * 2
        return self.down(h.flatten(1))


def test_a_written_number_is_refused_and_lowering_is_proposed():
    with pytest.raises(
        RefusalError,
        match=r"4 does not follow: it is written in the code.*(.|\n)*try: morphir\.lower",
    ):
        morphir.transform(Heads(), WiderPass(at="up", width=96), example_inputs=(X,))


def test_lower_1_numbers_become_attributes_with_telling_names():
    lowered = morphir.lower(Heads(), example_inputs=(X,))
    assert isinstance(lowered, fx.GraphModule)
    assert (lowered.view_shape_1, lowered.view_shape_2) == (4, 16)
    assert "0.5" in lowered.code  # no size


@pytest.mark.parametrize(("width", "heads"), [(96, 6), (128, 8)])
def test_lower_1_then_they_follow_and_the_optimizer_is_carried(width, heads):
    net = Heads()
    optimizer = torch.optim.Adam(net.parameters())
    net(X).sum().backward()
    optimizer.step()
    lowered = morphir.lower(net, example_inputs=(X,))
    result = morphir.transform(
        lowered, WiderPass(at="up", width=width), optimizer=optimizer, example_inputs=(X,)
    )
    assert result.report.grade is Grade.PROVED
    assert result.module.view_shape_1 * result.module.view_shape_2 == width
    assert result.module.view_shape_1 == heads
    moments = result.optimizer.state[result.module.up.weight]["exp_avg"]
    assert moments.shape == (width, 8)
    assert moments.any()
    torch.testing.assert_close(result.module.eval()(X), net.eval()(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_lower_2_it_computes_the_same_in_both_modes(training):
    net = Heads().train(training)
    lowered = morphir.lower(net, example_inputs=(X,))
    assert lowered.training is training
    for mode in (True, False):
        torch.manual_seed(0)
        expected = net.train(mode)(X)
        torch.manual_seed(0)
        assert torch.equal(lowered.train(mode)(X), expected)


def test_lower_2_the_model_is_as_it_was():
    for net, x in ((Heads(), X), (Transformer(), torch.zeros(2, 5, dtype=torch.int64))):
        before, state = fingerprint(net), torch.get_rng_state()
        lowered = morphir.lower(net, example_inputs=(x,))
        assert fingerprint(net) == before
        assert torch.equal(torch.get_rng_state(), state)
        own = dict(net.named_parameters())
        assert all(p is own[name] for name, p in lowered.named_parameters())


def test_lower_1_only_the_modules_that_write_numbers_are_lowered():
    tokens = torch.randint(0, 11, (2, 5))
    net = Transformer()
    lowered = morphir.lower(net, example_inputs=(tokens,))
    kinds = {name for name, m in lowered.named_modules() if isinstance(m, fx.GraphModule)}
    assert kinds == {"blocks.0.attention", "blocks.1.attention"}
    assert [*lowered.state_dict()] == [*net.state_dict()]
    assert [name for name, _ in lowered.named_modules()] == [
        name for name, _ in net.named_modules()
    ]
    assert type(lowered) is Transformer
    assert torch.equal(lowered.generate(tokens), net.generate(tokens))


@pytest.mark.parametrize(
    "pass_",
    [
        WiderPass(at="blocks.0.attention", heads=6),
        WiderPass(at="blocks.0.attention.v", width=64),
        DeeperPass(at="blocks.1.attention.v", block="residual"),
    ],
)
def test_what_is_inside_and_around_can_change(pass_):
    tokens = torch.randint(0, 11, (2, 5))
    lowered = morphir.lower(Transformer(), example_inputs=(tokens,))
    result = morphir.transform(lowered, pass_, example_inputs=(tokens,))
    assert result.report.grade is Grade.PROVED


def test_lower_1_an_attribute_that_the_code_reads_stays_that_attribute():
    tokens = torch.randint(0, 11, (2, 5))
    part = morphir.lower(Transformer(), example_inputs=(tokens,)).blocks[0].attention
    assert "self.heads" in part.code
    assert part.floordiv_left == 32


@pytest.mark.parametrize(
    ("between", "units"),
    [
        (lambda h: h.view(-1, 24).relu(), 24),
        (lambda h: h.reshape((h.shape[0], 6, 4)).relu().flatten(1), 24),
        (lambda h: h.view(h.size()[:-1] + (6, 4)).relu().flatten(1), 24),  # noqa: RUF005
        (lambda h: h.unflatten(1, (6, 4)).relu().flatten(1), 24),
        (lambda h: torch.sigmoid(h.split(12, dim=-1)[0]) * h.split(12, dim=-1)[1], 12),
        (lambda h: torch.sigmoid(h.split([12, 12], dim=-1)[0]) * h.split([12, 12], -1)[1], 12),
        (lambda h: h.relu() + torch.zeros(h.shape[0], 24), 24),
        (lambda h: h.relu() * torch.ones(24), 24),
        (lambda h: h.relu() + h.new_zeros(24), 24),
        (lambda h: h.relu() * h.mean(1, keepdim=True).expand(-1, 24), 24),
        (lambda h: h.relu()[:, :24], 24),
        (lambda h: F.layer_norm(h, (24,)), 24),
    ],
)
def test_lower_1_every_number_that_a_call_needs_for_an_axis(between, units):
    net, pass_ = Between(between, units), WiderPass(at="up", width=48)
    with pytest.raises(RefusalError, match="is written in the code"):
        morphir.transform(net, pass_, example_inputs=(X,))
    lowered = morphir.lower(net, example_inputs=(X,))
    result = morphir.transform(lowered, pass_, example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    assert result.module.down.in_features == 2 * units


def test_lower_1_numbers_in_arithmetic():
    net = Between(lambda h: h.view(-1, h.shape[1] // 4, 4).relu().flatten(1), 24)
    lowered = morphir.lower(net, example_inputs=(X,))
    assert (lowered.floordiv_right, lowered.view_shape_2) == (4, 4)


def test_a_model_without_written_numbers_is_a_copy():
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    lowered = morphir.lower(net, example_inputs=(X,))
    assert type(lowered) is nn.Sequential
    assert lowered[0].weight is net[0].weight
    again = morphir.lower(morphir.lower(Heads(), example_inputs=(X,)), example_inputs=(X,))
    assert (again.view_shape_1, again.view_shape_2) == (4, 16)


def test_control_flow_on_values_is_refused():
    net = Branches()
    before = fingerprint(net)
    with pytest.raises(RefusalError, match=r"torch.fx cannot trace .*control flow") as refusal:
        morphir.lower(net, example_inputs=(X,))
    assert refusal.value.nodes == ("the model itself",)
    assert fingerprint(net) == before


def test_a_choice_by_the_mode_that_is_not_kept_is_refused():
    class ByMode(Heads):
        def forward(self, x):
            x = x * 2 if self.training else x
            return super().forward(x)

    with pytest.raises(RefusalError, match="not proved to be the same in both modes"):
        morphir.lower(ByMode(), example_inputs=(X,))


def test_what_would_get_lost_is_refused():
    hooked, unread, unsaved = Heads(), Heads(), Transformer().blocks[0].attention
    hooked.register_forward_hook(lambda module, args, output: output * 2)
    unread.critic = nn.Linear(64, 1)
    unsaved.register_buffer("scale", unsaved.scale, persistent=False)
    tokens = torch.randn(2, 5, 32)
    for net, x, what in (
        (hooked, X, "_forward_hooks"),
        (unread, X, "critic"),
        (unsaved, tokens, "scale"),
    ):
        with pytest.raises(RefusalError, match=f"would not have the same .*{what}"):
            morphir.lower(net, example_inputs=(x,))


def test_a_module_that_is_called_in_two_ways_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = Attention()

        def forward(self, x):
            return self.attention(self.attention(x), torch.zeros(x.shape[1], x.shape[1]))

    with pytest.raises(
        RefusalError, match=r"does not run where the model does(.|\n)*mask has been"
    ):
        morphir.lower(Twice(), example_inputs=(torch.randn(2, 5, 32),))


def test_shapes_are_needed():
    class Two(nn.Bilinear):
        def forward(self, a, b):
            return super().forward(a, b)

    with pytest.raises(RefusalError, match="there are no example inputs"):
        morphir.lower(Two(2, 2, 2))


def test_files_are_loaded_into_a_lowered_model(tmp_path):
    def make() -> nn.Module:
        return morphir.lower(Heads(), example_inputs=(X,))

    lowered = make()
    result = morphir.transform(lowered, WiderPass(at="up", width=96), example_inputs=(X,))
    morphir.save(result, tmp_path / "net.safetensors")
    loaded = morphir.load(tmp_path / "net.safetensors", make)
    assert (loaded.view_shape_1, loaded.view_shape_2) == (6, 16)
    assert torch.equal(loaded.eval()(X), result.module.eval()(X))
    target = copy.deepcopy(lowered)
    morphir.replay(result.lineage, target)
    assert target.view_shape_1 == 6
