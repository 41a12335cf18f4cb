"""The answer "no" of the certificate checker."""

from __future__ import annotations

from typing import final


@final
class Rejection(Exception):  # noqa: N818 - not an error: the answer "no", with its reason
    """Why a certificate does not hold; never leaves the checker.

    Attributes:
        summary: The law and what was found.
        where: The node, tensor, module or entry point.
    """

    def __init__(self, summary: str, where: str = "") -> None:
        super().__init__(summary)
        self.summary, self.where = summary, where
