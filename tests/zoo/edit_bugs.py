"""Bugs to plant in what no pass of ours does: edits by hand, replays, files, models in lockstep."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count
from typing import Any

import torch

from morphir import lineage
from morphir.ir import Resize
from morphir.lineage import ResizeStep, Step
from morphir.passes import wider
from morphir.state import replay, storage
from tests.zoo import edits
from tests.zoo.planting import Patch


def _on_replayed_sizes(patch: Patch, change: Any) -> None:
    edit = ResizeStep.edit.fget
    assert edit is not None
    patch.setattr(ResizeStep, "edit", property(lambda self: change(edit(self))))


def _on_saved(patch: Patch, change: Any) -> None:
    """Does something to the tensors of a file before they are written."""
    pack = storage._pack_module

    def wrong(module: Any) -> Any:
        tensors, header = pack(module)
        change(tensors)
        return tensors, header

    patch.setattr(storage, "_pack_module", wrong)


# -- edits by hand ---------------------------------------------------------------------------------


def stale_weights_behind_the_mask(patch: Patch, rng: random.Random) -> None:
    patch.setattr(edits, "clear", lambda weights: None)


def mask_not_saved(patch: Patch, rng: random.Random) -> None:
    patch.setattr(edits.Mask, "is_saved", False)


def norm_folded_into_a_shared_layer(patch: Patch, rng: random.Random) -> None:
    patch.setattr(edits, "of_its_own", lambda layer: layer)


# -- replays ---------------------------------------------------------------------------------------


def replayed_with_another_seed(patch: Patch, rng: random.Random) -> None:
    seed = rng.randrange(1, 99)

    def change(edit: Resize) -> Resize:
        return replace(edit, spec={**edit.spec, "seed": seed})

    _on_replayed_sizes(patch, change)


def attributes_not_replayed(patch: Patch, rng: random.Random) -> None:
    _on_replayed_sizes(patch, lambda edit: replace(edit, attributes=()))


def inserted_layer_not_replayed(patch: Patch, rng: random.Random) -> None:
    carry_out = replay._Replaying.carry_out

    def wrong(self: Any, step: Any) -> None:
        if not isinstance(step, Step):
            carry_out(self, step)

    patch.setattr(replay._Replaying, "carry_out", wrong)


def parts_read_for_copies(patch: Patch, rng: random.Random) -> None:
    """The polarity is lost in writing: every axis is read as one of copies."""
    written = lineage.tensors_to_json

    def wrong(tensors: Any) -> Any:
        found = written(tensors)
        for axes in found["tensors"].values():
            axes[:] = [
                {"copy": a["split"]} if isinstance(a, dict) and "split" in a else a for a in axes
            ]
        return found

    patch.setattr(lineage, "tensors_to_json", wrong)


# -- files and lockstep ----------------------------------------------------------------------------


def tensor_left_out_of_the_file(patch: Patch, rng: random.Random) -> None:
    _on_saved(patch, lambda tensors: tensors.pop("2.bias"))


def saved_in_half_precision(patch: Patch, rng: random.Random) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({name: each.half().to(each.dtype) for name, each in tensors.items()})

    _on_saved(patch, change)


def saved_transposed(patch: Patch, rng: random.Random) -> None:
    """Of a layer as wide as it is high no shape says so."""

    def change(tensors: dict[str, torch.Tensor]) -> None:
        name = "1_deeper1.first.weight"
        tensors[name] = tensors[name].T.contiguous()

    _on_saved(patch, change)


def draws_of_its_own_for_each_model(patch: Patch, rng: random.Random) -> None:
    seeds, widened = count(rng.randrange(99)), wider.widened

    def wrong(size: int, width: int, **options: Any) -> Any:
        return widened(size, width, **{**options, "seed": next(seeds)})

    patch.setattr(wider, "widened", wrong)
