"""The passes that a model may live through, with options that follow from one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import torch

from morphir.axes import AxisGroups
from morphir.passes import (
    CompactPass,
    DeeperPass,
    ExtendInputPass,
    ExtendOutputPass,
    InjectPlasticityPass,
    MaskGrowPass,
    MorphismPass,
    PruneDormantPass,
    RecycleDormantPass,
    ResetPass,
    ShallowerPass,
    SparsifyPass,
    WiderPass,
)
from morphir.tensors import tensors_in
from morphir.testing.places import Site

BOX: Final = (-1.0, 1.0)  # what inputs are bounded by where a pass may rely on it


@final
@dataclass(frozen=True)
class Request:
    """One way to ask for a pass.

    Attributes:
        kind: The pass.
        make: From a site, whose seed chooses the options, and example inputs to the pass.
        features: Whether it is asked at modules with output features only.
        fits: At which of these it is mostly asked, since elsewhere it is mostly refused.
    """

    kind: type[MorphismPass]
    make: Callable[[Site, Mapping[str, Any]], MorphismPass]
    features: bool = False
    fits: Callable[[AxisGroups, str], bool] = AxisGroups.has_free


def _width(site: Site) -> int:
    return (site.width + 1, site.width + 2, 2 * site.width, site.width + 3)[site.seed % 4]


def _copied(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    shares, joint = ("equal" if site.seed % 5 == 4 else "unequal"), site.seed % 3 == 2
    return WiderPass(site.at, _width(site), shares=shares, joint=joint, seed=site.seed)  # type: ignore[arg-type]


def _fresh(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    return WiderPass(site.at, _width(site), "fresh", joint=site.seed % 3 == 2, seed=site.seed)


def _gradmax(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    return WiderPass(site.at, _width(site), "gradmax", seed=site.seed, data=inputs, loss=_loss)


def _loss(returned: Any) -> torch.Tensor:
    parts = [each.float().square().mean() for _, each in tensors_in(returned)]
    return torch.stack(parts).sum()


def _heads(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    return WiderPass(site.at, heads=2 + site.seed % 3, joint=site.seed % 4 > 0, seed=site.seed)


def _inserted(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    block: Any = ("identity", "residual", "parametric")[site.seed % 3]
    hidden = 5 if site.seed % 9 == 4 else None
    kernel_size = 1 if site.seed % 10 == 6 else None
    return DeeperPass(site.at, block, hidden=hidden, kernel_size=kernel_size, seed=site.seed)


def _removed(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    return ShallowerPass(site.at if site.seed % 2 else None)


def _injected(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    is_whole = site.seed % 6 == 5 and [*inputs] == ["forward"]
    return InjectPlasticityPass("" if is_whole else site.at, seed=site.seed)


def _pruned(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    at = site.at if site.seed % 4 == 3 else None
    units = (0, 3) if site.seed % 8 == 7 else None
    box = BOX if site.seed % 4 == 2 else None
    return PruneDormantPass(at, units, fold=site.seed % 4 == 1, box=box, seed=site.seed)


def _dormant(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    mode: Any = ("remove", "reseed")[site.seed % 2]
    threshold = (0.0, 0.3)[site.seed // 2 % 2]
    return PruneDormantPass(
        data=inputs, threshold=threshold, mode=mode, max_fraction=0.5, seed=site.seed
    )


def _started_anew(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    return RecycleDormantPass(inputs, threshold=(0.0, 0.1, 0.5)[site.seed % 3], seed=site.seed)


def _sparse(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    keep: Any = ("magnitude", "random")[site.seed % 2]
    distribution: Any = ("erdos_renyi", "uniform")[site.seed // 2 % 2]
    return SparsifyPass(
        (0.3, 0.5, 0.8)[site.seed % 3], None, distribution, keep=keep, seed=site.seed
    )


def _in_use(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    init: Any = ("zero", "zero", "random")[site.seed % 3]
    return MaskGrowPass(fraction=0.3, score="random", init=init, seed=site.seed)


def _out_of_use(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    threshold = (0.0, 0.3)[site.seed % 2]
    return PruneDormantPass(data=inputs, threshold=threshold, mode="mask", seed=site.seed)


def _drawn(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    return ResetPass(site.at if site.seed % 2 else None, seed=site.seed)


def _compacted(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    return CompactPass()


def _merged(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    return CompactPass(merge_copies=True)


def _longer_input(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    ((x,), *_) = inputs.values()
    axis = x.dim() - 1 if x.dim() < 4 else 1  # features come last, channels first
    return ExtendInputPass("x", x.shape[axis] + 1 + site.seed % 3, seed=site.seed)


def _longer_output(site: Site, inputs: Mapping[str, Any]) -> MorphismPass:
    init: Any = ("fresh", "zero")[site.seed % 2]
    return ExtendOutputPass(site.at, site.width + 1 + site.seed % 3, init, seed=site.seed)


def _has_heads(groups: AxisGroups, name: str) -> bool:
    return name.startswith("attention") and name.partition(".")[2] in ("", "qkv")


def _is_head(groups: AxisGroups, name: str) -> bool:
    return name.endswith("head")


REQUESTS: Final[Mapping[str, Request]] = {
    "widen": Request(WiderPass, _copied, features=True),
    "widen-fresh": Request(WiderPass, _fresh, features=True),
    "widen-gradmax": Request(WiderPass, _gradmax, features=True),
    "widen-heads": Request(WiderPass, _heads, features=True, fits=_has_heads),
    "insert": Request(DeeperPass, _inserted),
    "shallower": Request(ShallowerPass, _removed),
    "inject": Request(InjectPlasticityPass, _injected),
    "prune": Request(PruneDormantPass, _pruned, features=True),
    "prune-on-data": Request(PruneDormantPass, _dormant),
    "recycle": Request(RecycleDormantPass, _started_anew),
    "sparsify": Request(SparsifyPass, _sparse),
    "mask-grow": Request(MaskGrowPass, _in_use),
    "mask-prune": Request(PruneDormantPass, _out_of_use),
    "reset": Request(ResetPass, _drawn),
    "compact": Request(CompactPass, _compacted),
    "merge": Request(CompactPass, _merged),
    "extend-input": Request(ExtendInputPass, _longer_input),
    "extend-output": Request(ExtendOutputPass, _longer_output, features=True, fits=_is_head),
}
