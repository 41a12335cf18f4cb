"""Running a module at the end of another's forward without renaming anything.

The instance's class is swapped for a subclass of its class, as `torch.nn.utils.parametrize` does:
`isinstance` holds, `fc1.weight` is still `fc1.weight`, and copying, pickling, `torch.save`,
`torch.compile`, `torch.export` and ONNX work. What compares classes with `is` sees the difference.

    BACK-3   a host returns guest_n(... guest_1(y)) where it returned y, and is an instance of its
             old class, with the same methods and the same name
    BACK-18  a host whose last guest goes is of its old class again
    BACK-20  a Sequential that hosts runs, counts, indexes and slices its own children only
"""

from __future__ import annotations

import copyreg
import functools
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from morphir.injected import InjectedBranch
from morphir.tensors import map_tensors

_GUESTS: Final = "_morphir_guests"


def add_guest(host: nn.Module, name: str, guest: nn.Module) -> None:
    """Makes `guest` a child of `host` that runs on its output, after earlier guests."""
    guests = vars(host).get(_GUESTS, ())
    if not guests:
        host.__class__ = _host_class(host)
    host.add_module(name, guest)
    vars(host)[_GUESTS] = (*guests, name)


def is_guest(host: nn.Module, name: str) -> bool:
    """Whether a child of `host` runs on its output."""
    return name in vars(host).get(_GUESTS, ())


def remove_guest(host: nn.Module, name: str) -> None:
    """Undoes `add_guest`; a host without guests is of its old class again."""
    guests = tuple(each for each in vars(host)[_GUESTS] if each != name)
    del host._modules[name]
    vars(host)[_GUESTS] = guests
    if not guests:
        del vars(host)[_GUESTS]
        host.__class__ = _with_base(host, _class_before_parametrizing(host).__bases__[0])


def remove_branches(module: nn.Module) -> None:
    """Takes the branches that were injected out of a module and its parts; other guests stay."""
    for each in [*module.modules()]:
        for name in vars(each).get(_GUESTS, ()):
            if isinstance(each._modules[name], InjectedBranch):
                remove_guest(each, name)


def remember(module: nn.Module) -> Callable[[], None]:
    """What restores a module's class, children and guests as they are now."""
    kind, children, guests = type(module), dict(module._modules), vars(module).get(_GUESTS)

    def restore() -> None:
        module._modules.clear()
        module._modules.update(children)
        module.__class__ = kind
        if guests is None:
            vars(module).pop(_GUESTS, None)
        else:
            vars(module)[_GUESTS] = guests

    return restore


def own_way_of_copying(host: nn.Module) -> str:
    """The method by which a copy of this module would lose its guests, or "" for none."""
    for base in _class_before_parametrizing(host).__mro__:
        if base not in (nn.Module, object):
            for method in ("__deepcopy__", "__reduce__", "__reduce_ex__"):
                if method in vars(base) and not vars(host).get(_GUESTS):
                    return f"{base.__name__}.{method}"
    return ""


def _class_before_parametrizing(host: nn.Module) -> Any:
    return type(host).__bases__[0] if is_parametrized(host) else type(host)


def _host_class(host: nn.Module) -> type[nn.Module]:
    return _with_base(host, _hosting_class(_class_before_parametrizing(host)))


def _with_base(host: nn.Module, below: Any) -> type[nn.Module]:
    """The class of a module with another class below its parametrization, if it has one."""
    kind: type[nn.Module] = type(host)
    if not is_parametrized(host):
        found: type[nn.Module] = below
        return found
    # torch takes the first base of a parametrized class for the class before: the swap goes below
    # it, so that it is still there when the parametrization is removed.
    own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
    return types.new_class(kind.__name__, (below,), exec_body=lambda body: body.update(own))


@functools.cache
def _hosting_class(kind: Any) -> Any:
    """The subclass of `kind` whose forward ends with the guests."""

    @functools.wraps(kind.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = kind.forward(self, *args, **kwargs)
        for name in vars(self)[_GUESTS]:
            guest: Any = self._modules[name]
            if isinstance(guest, InjectedBranch):
                guest = functools.partial(_beside, guest, args, kwargs)
            # Attention returns its one tensor in a tuple, with a None for the weights.
            alone = isinstance(result, torch.Tensor)
            result = guest(result) if alone else map_tensors(result, guest)
        return result

    def reduce(self: nn.Module, protocol: Any) -> Any:
        function, arguments, *rest = kind.__reduce_ex__(self, protocol)
        assert function is copyreg.__newobj__  # type: ignore[attr-defined]
        return (_rebuild, (kind, *arguments[1:]), *rest)

    members = {
        "forward": forward,
        "__reduce_ex__": reduce,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        **(_own_children(kind) if issubclass(kind, nn.Sequential) else {}),
    }
    return types.new_class(kind.__name__, (kind,), exec_body=lambda body: body.update(members))


def _beside(branch: nn.Module, args: Any, kwargs: Any, y: torch.Tensor) -> Any:
    return branch(y, *args, **kwargs)


def _own_children(kind: Any) -> dict[str, Any]:
    """How a Sequential that hosts finds its children: guests are none of those that it runs."""

    def own(self: nn.Module) -> OrderedDict[str, Any]:
        guests = vars(self)[_GUESTS]
        return OrderedDict((k, v) for k, v in self._modules.items() if k not in guests)

    def iterate(self: nn.Module) -> Iterator[Any]:
        return iter(own(self).values())

    def count(self: nn.Module) -> int:
        return len(own(self))

    def get(self: nn.Module, index: Any) -> Any:
        if isinstance(index, slice):
            return kind(OrderedDict([*own(self).items()][index]))
        return [*own(self).values()][index]

    return {"__iter__": iterate, "__len__": count, "__getitem__": get}


def _rebuild(kind: Any, *arguments: Any) -> nn.Module:
    host: type[nn.Module] = _hosting_class(kind)
    return host.__new__(host, *arguments)
