"""Writes a failure to a folder in which it can be seen again.

TESTING-6   the folder holds all that is needed, is there whole or not at all, and
            `python repro.py` in it ends with the same failure
"""

from __future__ import annotations

import inspect
import json
import math
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from morphir.errors import RefusalError, StorageError
from morphir.lineage import lineage_of
from morphir.passes import MorphismPass
from morphir.state.files import cannot_write
from morphir.testing.failures import Case, PreservationError
from morphir.versions import library_versions

_PLAIN: Final = (bool, int, str, bytes, type(None))
_SCRIPT: Final = '''\
"""Shows a failure again: run it in this folder. It needs morphir with its extra `testing`.

{reason}
"""

from math import inf, nan  # numbers among the options may be these
from pathlib import Path

import morphir
from {file} import {kind}
from morphir.testing import assert_preserves
from net import make
from safetensors.torch import load_file

here = Path(__file__).resolve().parent
given = load_file(here / "inputs.safetensors")
module = make()
morphir.replay(morphir.Lineage.from_json((here / "lineage.json").read_text()), module)
module.load_state_dict(load_file(here / "weights.safetensors"))
module.train({training})
assert_preserves(
    {kind}({options}),
    module,
    example_inputs={inputs},
    entry_points={entry_points},
    seed={seed},
    source=(here / "net.py").read_text(),
)
print("the pass keeps what it claims to keep: the failure is gone")
'''


def write_reproduction(failure: PreservationError, folder: str | os.PathLike[str]) -> Path:
    """Writes a script that shows a failure again, with everything that it needs.

    Beside the script there are the module as source, its numbers, the inputs, the file that defines
    the pass if that is not part of morphir, what the checkers found, and the versions.

    Args:
        failure: What `assert_preserves` raised.
        folder: Where; there must be nothing yet.

    Returns:
        The path of the script.

    Raises:
        RefusalError: The module has no source, or the pass can't be written down.
        StorageError: The folder exists, or cannot be written; nothing was.

    Example:
        >>> import tempfile
        >>> from morphir import DeeperPass
        >>> from morphir.testing import (
        ...     Case, PreservationError, Recipe, build, to_source, write_reproduction
        ... )
        >>> case = Case(DeeperPass(at="head"), build(Recipe()), None, ("forward",), source="...")
        >>> with tempfile.TemporaryDirectory() as home:
        ...     path = write_reproduction(PreservationError(case, "wrong"), f"{home}/found")
        ...     sorted(each.name for each in path.parent.iterdir())[:3]
        ['inputs.safetensors', 'lineage.json', 'net.py']
    """
    target = Path(folder)
    texts, tensors = _contents(failure)
    if target.exists():
        raise StorageError(f"{target} exists already: name a folder that does not")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf8")
        for name, each in tensors.items():
            save_file(each, temporary / name)
        temporary.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target / "repro.py"


def _contents(failure: PreservationError) -> tuple[dict[str, str], dict[str, Any]]:
    """What goes into the files, by name: texts, and tensors by name."""
    case = failure.case
    if not case.source:
        raise RefusalError(
            f"there is no source that builds this {type(case.module).__name__}",
            suggestions=["source= with Python source that defines make()"],
        )
    given: dict[str, torch.Tensor] = {}
    file, definition = _definition(case.pass_)
    script = _script(failure, case, file, given)
    texts = {
        "repro.py": script,
        "net.py": case.source,
        "lineage.json": lineage_of(case.module).to_json(),
        "versions.json": json.dumps(library_versions("safetensors"), indent=2),
        **({f"{file}.py": definition} if definition else {}),
    }
    if failure.report is not None:
        texts["report.json"] = failure.report.to_json()
    if failure.certificate is not None:
        texts["certificate.json"] = failure.certificate.to_json()
    state = case.module.state_dict()
    weights = {name: _apart(each) for name, each in state.items() if torch.is_tensor(each)}
    return texts, {"weights.safetensors": weights, "inputs.safetensors": given}


def _script(
    failure: PreservationError, case: Case, file: str, given: dict[str, torch.Tensor]
) -> str:
    listed = fields(case.pass_)  # type: ignore[arg-type]
    values = {each.name: getattr(case.pass_, each.name) for each in listed if each.init}
    options = ", ".join(f"{name}={typed(value, given)}" for name, value in values.items())
    return _SCRIPT.format(
        reason=failure.reason.replace("\\", "\\\\").replace('"', "'"),
        file=file,
        kind=type(case.pass_).__name__,
        training=case.module.training,
        options=options,
        inputs=typed(case.example_inputs, given),
        entry_points=tuple(case.entry_points),
        seed=case.seed,
    )


def _definition(pass_: MorphismPass) -> tuple[str, str]:
    """The module to import a pass's class from, and the text of its file unless it is morphir's."""
    kind = type(pass_)
    if kind.__module__.partition(".")[0] == "morphir":
        return kind.__module__, ""
    try:
        path = inspect.getsourcefile(kind)
    except TypeError:
        path = None
    if path is None or kind.__qualname__ != kind.__name__ or not Path(path).is_file():
        raise RefusalError(
            f"{kind.__qualname__} can't be imported elsewhere",
            suggestions=["define the pass at the top level of a file"],
        )
    return "pass_under_test", Path(path).read_text(encoding="utf8")


def typed(value: Any, given: dict[str, torch.Tensor]) -> str:
    """A value as Python source; tensors go into `given` and are named there.

    Args:
        value: Numbers, texts, tensors, and tuples, lists and dicts of them.
        given: The tensors that were named before.

    Raises:
        RefusalError: It is something else.
    """
    if isinstance(value, torch.Tensor):
        name = str(len(given))
        given[name] = _apart(value)
        return f"given[{name!r}]"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"({value!r})"
    if type(value) in _PLAIN:
        return repr(value)
    if isinstance(value, Mapping):
        parts = (f"{typed(key, given)}: {typed(part, given)}" for key, part in value.items())
        return f"{{{', '.join(parts)}}}"
    if type(value) in (tuple, list):
        listed = ", ".join(typed(part, given) for part in value)
        if type(value) is list:
            return f"[{listed}]"
        return f"({listed},)" if len(value) == 1 else f"({listed})"
    raise RefusalError(
        f"a {type(value).__name__} can't be written as Python source, and a reproduction needs it",
        suggestions=["numbers, texts, tensors, and tuples, lists and dicts of them"],
    )


def _apart(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with memory of its own, as safetensors wants it."""
    return tensor.detach().to("cpu", copy=True).contiguous()
