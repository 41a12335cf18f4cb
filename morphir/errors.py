"""What morphir raises, sorted by who is at fault.

A *refusal* means that the request does not fit the model: nothing was changed, and the message says
what would work. A *verification error* means that a rewrite was applied and did not hold: a bug in
a pass or in morphir, never in the model. A *storage error* means that a file could not be read or
written; what was on disk before is still there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from morphir.ir.report import Report


class MorphirError(Exception):
    """Base of everything that morphir raises on purpose."""


class RefusalError(MorphirError):
    """The request does not fit the model; nothing was changed.

    Attributes:
        reason: What was found and what was expected, in one or two sentences.
        nodes: Qualified module names or printed IR nodes that the reason is about.
        suggestions: What would work instead, each a complete alternative.
    """

    def __init__(
        self, reason: str, *, nodes: Sequence[str] = (), suggestions: Sequence[str] = ()
    ) -> None:
        self.reason = reason
        self.nodes = tuple(nodes)
        self.suggestions = tuple(suggestions)
        lines = [reason]
        lines += [f"  at: {node}" for node in self.nodes]
        lines += [f"  try: {suggestion}" for suggestion in self.suggestions]
        super().__init__("\n".join(lines))


class VerificationError(MorphirError):
    """A rewrite did not keep what it claims; the model and optimizer are as they were.

    Attributes:
        report: Everything the checkers found, with the node that disagrees, and in the `arguments`
            of a check the inputs on which the models differ.
        suggestions: What to do where nothing is wrong and less was found than was asked for.
    """

    def __init__(
        self, message: str, *, report: Report | None = None, suggestions: Sequence[str] = ()
    ) -> None:
        self.report = report
        self.suggestions = tuple(suggestions)
        text = message if report is None else f"{message}\n\n{report}"
        super().__init__("\n".join([text, *(f"  try: {each}" for each in self.suggestions)]))


class StorageError(MorphirError):
    """A file could not be read or written; what was there before is untouched."""
