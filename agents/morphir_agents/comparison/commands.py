"""The command that makes a run again.

COMPARE-6   `morphir-agents` with these arguments trains with the configuration of the run
"""

from __future__ import annotations

import typing
from typing import Any

from morphir_agents.comparison.runs import Fields, fields_of
from morphir_agents.recipes import RECIPES

__all__ = ["arguments"]


def arguments(fields: Fields) -> list[str] | None:
    """What follows `morphir-agents` (COMPARE-6), or None where no recipe's options give this.

    Args:
        fields: The configuration of a run.
    """
    recipe = RECIPES.get(fields["name"])
    if recipe is None:
        return None
    usual = fields_of(recipe.config)
    if usual.keys() != fields.keys():  # another kind of run or of task, which is no option
        return None
    chosen = [name for name in fields if name != "seed" and fields[name] != usual[name]]
    options = [part for name in chosen for part in _option(recipe.config, name, fields[name])]
    return ["run", fields["name"], *options, "--seed", str(fields["seed"])]


def _option(config: Any, name: str, value: Any) -> list[str]:
    """The words that give a field a value, as the command line of this configuration takes them."""
    *path, last = name.split(".")
    for part in path:
        config = getattr(config, part)
    hint = typing.get_type_hints(type(config), include_extras=True)[last]
    words = [part.replace("_", "-") for part in (*path, last)]
    if hint is bool:
        return ["--" + ".".join([*words[:-1], words[-1] if value else f"no-{words[-1]}"])]
    # A field that is annotated with an empty name takes that of what it is in: growth.kind.
    nameless = any(getattr(each, "name", None) == "" for each in getattr(hint, "__metadata__", ()))
    values = value if isinstance(value, list) else [value]
    return ["--" + ".".join(words[:-1] if nameless else words), *map(str, values)]
