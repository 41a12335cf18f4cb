"""What a pass adds to a refusal: which of the modules that it was asked for it is about."""

from __future__ import annotations

from collections.abc import Iterable

from morphir.errors import RefusalError


def about(
    refusal: RefusalError, *modules: str, first: Iterable[str] = (), last: Iterable[str] = ()
) -> RefusalError:
    """The same refusal, where modules of the request stand first.

    Args:
        refusal: What was refused.
        modules: The modules, as they were asked for.
        first: Suggestions that come before those that there are.
        last: Suggestions that come behind them.
    """
    return RefusalError(
        refusal.reason,
        nodes=[*dict.fromkeys((*modules, *refusal.nodes))],
        suggestions=[*dict.fromkeys((*first, *refusal.suggestions, *last))],
    )
