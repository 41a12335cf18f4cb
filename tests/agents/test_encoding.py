import numpy as np
import pytest
import torch

from morphir_agents.encoding import SymbolPlanes, Symbols, Vector


def test_encode_1_symbol_planes_and_their_module_agree_to_the_bit():
    encoding = SymbolPlanes((3, 5), (">", ".>@", "^"))
    raw = np.random.default_rng(0).integers(0, 256, (7, 3, 5)).astype(np.uint8)
    raw[0, 0, :3] = [ord(">"), ord("."), ord("^")]
    encoded = encoding.encode(raw)
    assert torch.equal(torch.from_numpy(encoded), encoding.module()(torch.from_numpy(raw)))
    assert encoded[0, :9].tolist() == [1, 1, 0, 0, 1, 0, 0, 0, 1]
    assert encoded.shape == (7, *encoding.shape)


def test_encode_1_raw_symbols_pass_unchanged():
    raw = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    encoding = Symbols((3, 4))
    assert np.array_equal(encoding.encode(raw), raw)
    assert torch.equal(encoding.module()(torch.from_numpy(raw)), torch.from_numpy(raw))


@pytest.mark.parametrize("normalise", [False, True])
def test_encode_1_vectors_and_their_module_agree_to_rounding(normalise):
    generator = np.random.default_rng(1)
    encoding = Vector(3, normalise)
    encoding.observe(generator.normal(4.0, [1.0, 5.0, 0.2], (500, 3)))
    raw = generator.normal(4.0, [1.0, 500.0, 0.2], (20, 3))
    encoded = encoding.encode(raw)
    as_module = encoding.module()(torch.from_numpy(raw.astype(np.float32))).numpy()
    np.testing.assert_allclose(encoded, as_module, rtol=1e-5, atol=1e-5)
    assert (abs(encoded).max() == 10.0) == normalise  # clipped only when normalised


def test_a_module_keeps_the_moments_it_was_made_with():
    encoding = Vector(1, normalise=True)
    encoding.observe(np.random.default_rng(2).normal(size=(100, 1)))
    module = encoding.module()
    before = module(torch.ones(1, 1))
    encoding.observe(1e6 * np.ones((100, 1)))
    assert torch.equal(before, module(torch.ones(1, 1)))
