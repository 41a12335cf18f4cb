"""What torch calls for every kernel."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from morphir.dispatch import Dispatch


class Names(Dispatch, TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def run(self, kernel: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self.seen.append(kernel.overloadpacket.__name__)
        return kernel(*args, **kwargs)


def test_every_kernel_is_handed_on():
    with Names() as names:
        torch.ones(2).add(1, alpha=2)
    assert names.seen == ["ones", "add"]


def test_the_machinery_of_compile_is_not_imported():
    code = (
        "import sys, torch, tests.test_dispatch as test; test.test_every_kernel_is_handed_on();"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
