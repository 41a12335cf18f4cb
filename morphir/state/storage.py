"""Saves a changed model so that it loads anywhere: one safetensors file, no pickle.

The file holds the tensors of the `state_dict` under their names (tied ones once), those of the
optimizers, and as JSON the lineage, the optimizers' settings and the versions. The code of the
model comes from the caller's factory.

    STATE-8   a model that was saved and loaded has the same state_dict, to the bit, and computes
              the same
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final, overload

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.errors import RefusalError, StorageError
from morphir.frontend import check_module
from morphir.lineage import Lineage, lineage_of, lineages_in
from morphir.result import TransformResult
from morphir.state.archive import read_archive, read_header, write_archive
from morphir.state.optimizer import check_optimizer
from morphir.state.packing import pack, unpack
from morphir.state.replay import replay
from morphir.state.resuming import pack_optimizer, restore_optimizer
from morphir.versions import library_versions

Path = str | os.PathLike[str]
Optimizers = Optimizer | Sequence[Optimizer]
_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)


@final
@dataclass(frozen=True)
class Inspection:
    """What a file holds, read without building a model.

    Attributes:
        lineage: What was done to the model.
        tensors: Name to type, as in `f32[64, 8]`; the optimizers' left out.
        optimizer: Class name of the saved optimizer, several joined by commas, or None.
        versions: Versions of the libraries that wrote the file.
    """

    lineage: Lineage
    tensors: Mapping[str, str]
    optimizer: str | None
    versions: Mapping[str, str]

    def __str__(self) -> str:
        lines = [f"written by {', '.join(f'{k} {v}' for k, v in self.versions.items())}"]
        lines += [f"optimizer: {self.optimizer or 'none'}", "lineage:"]
        lines += [f"  {line}" for line in str(self.lineage).splitlines()]
        lines.append("tensors:")
        return "\n".join([*lines, *(f"  {name}: {kind}" for name, kind in self.tensors.items())])


def save(
    result_or_module: TransformResult | nn.Module,
    path: Path,
    *,
    optimizer: Optimizers | None = None,
) -> None:
    """Writes a model, its lineage and its optimizer to one file, atomically.

    Args:
        result_or_module: What `transform` returned, or a module.
        path: File to write; by convention it ends in `.safetensors`.
        optimizer: The optimizer to save with it, or a list of them; by default that of the result.

    Raises:
        StorageError: The path cannot be written; what was there is untouched.
        RefusalError: Something in the state is not plain data.
    """
    module = result_or_module
    if isinstance(result_or_module, TransformResult):
        module = result_or_module.module
        optimizer = optimizer if optimizer is not None else result_or_module.optimizer
    check_module(module)
    assert isinstance(module, nn.Module)
    _check_lineage(module)
    listed = [] if optimizer is None else _listed(optimizer)
    for each in listed:
        check_optimizer(each, module)
    tensors, header = _pack_module(module)
    header["optimizers"] = [
        pack_optimizer(each, module, f"optimizer/{number}", tensors)
        for number, each in enumerate(listed)
    ]
    write_archive(path, header, tensors)


@overload
def load(path: Path, factory: Callable[[], nn.Module]) -> nn.Module: ...
@overload
def load(
    path: Path,
    factory: Callable[[], nn.Module],
    *,
    optimizer: Callable[[nn.Module], Optimizer],
) -> tuple[nn.Module, Optimizer]: ...
@overload
def load(
    path: Path,
    factory: Callable[[], nn.Module],
    *,
    optimizer: Callable[[nn.Module], Sequence[Optimizer]],
) -> tuple[nn.Module, Sequence[Optimizer]]: ...
def load(
    path: Path,
    factory: Callable[[], nn.Module],
    *,
    optimizer: Callable[[nn.Module], Optimizers] | None = None,
) -> Any:
    """Rebuilds a model from a file: a fresh model, its lineage replayed, its tensors filled in.

    Args:
        path: What `save` wrote.
        factory: Builds the model as it was before it was ever changed.
        optimizer: Builds the optimizer (or the list) that was saved, over the rebuilt model; its
            options and state are then those of the file.

    Returns:
        The model; with `optimizer` the model and the optimizer.

    Raises:
        StorageError: The file is missing, corrupt, or not one of ours.
        RefusalError: The factories build something that the file does not fit.
    """
    if isinstance(factory, nn.Module) or not callable(factory):
        raise RefusalError(
            f"factory= is a {type(factory).__name__}, expected a function that builds the model",
            suggestions=["factory=lambda: Net(settings)"],
        )
    if optimizer is not None and not callable(optimizer):
        raise RefusalError(
            f"optimizer= is a {type(optimizer).__name__}, expected a function that builds the "
            "optimizer over the model",
            suggestions=["optimizer=lambda model: torch.optim.Adam(model.parameters())"],
        )
    header, tensors = read_archive(path)
    try:
        lineage = Lineage.from_json(header["lineage"])
        state = {name: tensors[name] for name in header["names"]}
        state |= {alias: state[name] for alias, name in header["aliases"].items()}
        state |= {key: unpack(v, tensors.__getitem__) for key, v in header["extra"].items()}
        saved = [*header["optimizers"]]
    except _MALFORMED as error:
        raise _malformed(path, error) from error
    model = factory()
    check_module(model)
    replay(lineage, model)
    _check_fit(path, model, state)
    model.load_state_dict(state)
    if optimizer is None:
        return model
    built = optimizer(model)
    listed = _listed(built)
    if len(listed) != len(saved):
        raise RefusalError(
            f"{os.fspath(path)} holds {len(saved)} optimizers, the factory built {len(listed)}",
            suggestions=["morphir.save(model, path, optimizer=optimizer)"] if not saved else [],
        )
    for each, stored in zip(listed, saved, strict=True):
        check_optimizer(each, model)
        try:
            restore_optimizer(each, model, stored, tensors.__getitem__)
        except _MALFORMED as error:
            raise _malformed(path, error) from error
    return model, built


def inspect(path: Path) -> Inspection:
    """Reads what a file holds without building a model or reading its numbers.

    Raises:
        StorageError: The file is missing, corrupt, or not one of ours.
    """
    header, kinds = read_header(path)
    try:
        return Inspection(
            Lineage.from_json(header["lineage"]),
            {name: kinds[name] for name in header["names"]},
            ", ".join(each["class"] for each in header["optimizers"]) or None,
            header["versions"],
        )
    except _MALFORMED as error:
        raise _malformed(path, error) from error


def _malformed(path: Path, error: Exception) -> StorageError:
    return StorageError(f"{os.fspath(path)} has a header that makes no sense: {error!r}")


def _listed(optimizers: Optimizers) -> list[Optimizer]:
    return [*optimizers] if isinstance(optimizers, list | tuple) else [optimizers]  # type: ignore[list-item]


def _check_lineage(module: nn.Module) -> None:
    parts = [name for name in lineages_in(module) if name]
    if parts:
        raise RefusalError(
            f"{parts[0]!r} was changed on its own, so what was done to it is not in the lineage of "
            f"the {type(module).__name__} and could not be done again at load time",
            nodes=parts,
            suggestions=[
                "save that part",
                f"transform the whole model with at='{parts[0]}...' and entry_points=",
            ],
        )


def _pack_module(module: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The state_dict with tied tensors once, and what a header says about it."""
    tensors: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    extra: dict[str, Any] = {}
    first: dict[tuple[Any, ...], str] = {}
    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            extra[name] = pack(value, f"extra/{name}", tensors)
            continue
        key = _place(value) or (name,)
        if key in first:
            aliases[name] = first[key]
        else:
            first[key] = name
            tensors[name] = value
    header = {
        "names": [n for n, v in state.items() if isinstance(v, torch.Tensor) and n not in aliases],
        "aliases": aliases,
        "extra": extra,
        "lineage": lineage_of(module).to_json(),
        "versions": library_versions(),
    }
    return tensors, header


def _place(tensor: torch.Tensor) -> tuple[Any, ...] | None:
    """Where a tensor lies in memory: the same place is the same tensor."""
    if tensor.layout != torch.strided or not tensor.numel():
        return None
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _check_fit(path: Path, model: nn.Module, state: Mapping[str, Any]) -> None:
    own = model.state_dict()
    missing, extra = [*own.keys() - state.keys()], [*state.keys() - own.keys()]
    wrong = [name for name in own.keys() & state.keys() if _kind(own[name]) != _kind(state[name])]
    if missing or extra or wrong:
        raise RefusalError(
            f"{os.fspath(path)} does not fit the {type(model).__name__} that the factory builds: "
            f"{len(missing)} entries missing, {len(extra)} too many, {len(wrong)} of another shape "
            "or dtype",
            nodes=sorted([*missing, *extra, *wrong])[:5],
            suggestions=["a factory that builds the model as it was before it was first changed"],
        )


def _kind(value: Any) -> Any:
    return (value.shape, value.dtype) if isinstance(value, torch.Tensor) else None
