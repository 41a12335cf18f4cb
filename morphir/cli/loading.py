"""Models and example inputs, named on the command line.

What is named is imported, and so runs: it is the user's own code.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch import nn

from morphir.errors import RefusalError

_SHAPE: Final = re.compile(r"(\d+(?:x\d+)*)(?::(\w+))?")


def add_model(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    """Adds an argument that names a model."""
    parser.add_argument(
        name,
        metavar=name.upper(),
        help=f"{what}: package.module:name or file.py:name, where the name is a function or class "
        "that returns an nn.Module when it is called without arguments, or an nn.Module",
    )


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what a model is run on."""
    parser.add_argument(
        "--inputs",
        action="append",
        metavar="SHAPE | MODULE:NAME",
        help="example inputs: a shape such as 2x3x32x32 or 2x16:int64, once for each argument; or "
        "what to import (a tensor, a tuple, a dict as for morphir.trace, or a function that "
        "returns one); often they follow from the model",
    )
    parser.add_argument(
        "--entry-points",
        default="forward",
        metavar="A,B",
        help="methods or submodules to record, separated by commas (default: forward)",
    )


def entry_points_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The methods that were named."""
    return tuple(filter(None, options.entry_points.split(",")))


@contextmanager
def importing() -> Iterator[None]:
    """Has what lies in the current folder be found, as with `python -m`."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def model_of(place: str) -> nn.Module:
    """The model that a place names.

    Raises:
        RefusalError: There is none, or it can't be built.
    """
    found = _imported(place)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise RefusalError(
            f"{place} is a {type(found).__name__}, expected an nn.Module or what returns one"
        )
    model = _called(place, found, "builds the model")
    if not isinstance(model, nn.Module):
        raise RefusalError(f"{place}() returned a {type(model).__name__}, expected an nn.Module")
    return model


def _called(place: str, function: Callable[[], Any], does: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise RefusalError(
            f"{place}() failed: {type(error).__name__}: {error}",
            suggestions=[f"a function without arguments that {does}"],
        ) from error


def inputs_of(given: Sequence[str] | None) -> Any:
    """Example inputs as `record` takes them."""
    if not given:
        return None
    shapes = [_SHAPE.fullmatch(each) for each in given]
    if all(shapes):
        return tuple(_tensor(*shape.groups()) for shape in shapes if shape)
    for each in given:
        if not _SHAPE.fullmatch(each) and (":" not in each or each[:1].isdigit()):
            raise RefusalError(
                f"--inputs {each} is no shape, expected sizes with x between them, and names "
                "nothing to import",
                suggestions=["--inputs 2x8", "--inputs 2x16:int64", "--inputs package.module:name"],
            )
    if len(given) > 1:
        raise RefusalError(
            f"--inputs {' --inputs '.join(given)} mixes shapes with something to import",
            suggestions=["one MODULE:NAME that gives all inputs", "--inputs 2x8 --inputs 2x3"],
        )
    found = _imported(given[0])
    if callable(found) and not isinstance(found, torch.Tensor):
        found = _called(given[0], found, "returns the inputs")
    return (found,) if isinstance(found, torch.Tensor) else found


def _tensor(shape: str, dtype: str | None) -> torch.Tensor:
    kind = getattr(torch, dtype or "float32", None)
    if not isinstance(kind, torch.dtype):
        raise RefusalError(
            f"--inputs {shape}:{dtype}: torch has no dtype {dtype!r}",
            suggestions=[f"--inputs {shape}:int64", f"--inputs {shape}:float32"],
        )
    sizes = [int(size) for size in shape.split("x")]
    if not kind.is_floating_point:
        return torch.zeros(sizes, dtype=kind)  # an index that every table has
    return torch.randn(sizes, generator=torch.Generator().manual_seed(0)).to(kind)


def _imported(place: str) -> Any:
    module_name, colon, path = place.rpartition(":")
    if not colon or not module_name or not path:
        raise RefusalError(
            f"{place!r} names nothing to import, expected package.module:name or file.py:name",
            suggestions=[f"{place.rpartition('.')[0] or place}:{place.rpartition('.')[2]}"],
        )
    found: Any = _file(Path(module_name)) if module_name.endswith(".py") else _module(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            near = get_close_matches(name, dir(found), 3, 0.5)
            raise RefusalError(
                f"{module_name!r} has no {path!r}",
                suggestions=[f"{module_name}:{each}" for each in near],
            )
        found = getattr(found, name)
    return found


def _file(path: Path) -> ModuleType:
    """Runs a file as a module of its own, so that two files may have one name."""
    name = "_".join(["morphir_file", *re.findall(r"\w+", str(path.resolve()))])
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise RefusalError(f"there is no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # its name ends with .py
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RefusalError(f"{path} can't be run: {type(error).__name__}: {error}") from error
    return module


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise RefusalError(f"{name} cannot be imported: {error}") from error
        raise RefusalError(
            f"there is no module {name!r}",
            suggestions=["run it in the folder from which the module can be imported",
                         "a module's path with dots, or a file's with .py"],
        ) from error  # fmt: skip
    except Exception as error:
        raise RefusalError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
