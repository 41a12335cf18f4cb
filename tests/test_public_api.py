"""Public means exported in `__all__` and documented."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import morphir

PACKAGES = [
    "morphir",
    *(each.name for each in pkgutil.walk_packages(morphir.__path__, "morphir.") if each.ispkg),
]


def exported(package: ModuleType) -> list[str]:
    return list(getattr(package, "__all__", []))


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_exact(name: str):
    package = importlib.import_module(name)
    listed = exported(package)
    public = {
        each
        for each, value in vars(package).items()
        if not each.startswith("_")
        and not inspect.ismodule(value)
        and (each in listed or getattr(value, "__module__", None) not in {"typing", "__future__"})
    }
    assert len(listed) == len(set(listed)), f"{name}.__all__ names something twice"
    assert public == set(listed), (
        f"differ from {name}.__all__: {sorted(public ^ set(listed))}. "
        "Either add the name to `__all__`, or keep it out of `__init__.py` "
        "(import it from its module, or start it with an underscore)."
    )


@pytest.mark.parametrize("name", exported(morphir))
def test_every_public_object_is_documented(name: str):
    value = getattr(morphir, name)
    # A submodule of the same name would take the object's place when it is imported later.
    assert not inspect.ismodule(value), f"morphir.{name} is a module: load it before the object"
    # `vars`, because `__doc__` is inherited by classes whose author wrote none.
    own = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    # What `dataclass` writes when there is no docstring is the signature.
    assert own, f"morphir.{name} has no docstring: write one, or take it out of `__all__`"
    assert not own.startswith(f"{name}("), (
        f"morphir.{name} has no docstring: write one, or take it out of `__all__`"
    )
