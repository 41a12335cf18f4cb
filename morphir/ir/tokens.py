"""Cuts a line of the text form into tokens, and reads them one after the other.

Nothing of the text is evaluated: a string is decoded, a number is converted, and everything else is
compared with what the parser expects.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Final, Literal, final

Kind = Literal["reference", "string", "number", "word", "sign", "end"]

_NAME: Final = r'"(?:[^"\\]|\\.)*"|[A-Za-z_0-9][A-Za-z_0-9.\-]*'
_TOKEN: Final = re.compile(
    rf"""\ *(?:
        (?P<reference>[%@](?:{_NAME}))
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?(?![A-Za-z_0-9.\-]))
      | (?P<word>\.\.\.|[A-Za-z_0-9][A-Za-z_0-9.\-]*)
      | (?P<sign>//|[-+*%(),=:\[\]])
    )""",
    re.VERBOSE,
)


@final
class Tokens:
    """The tokens of one line with a cursor.

    Attributes:
        source: What follows `  # ` at the end of the line.
    """

    def __init__(self, line: str) -> None:
        self._tokens: list[tuple[Kind, str]] = []
        self._at = 0
        self.source = ""
        end = 0
        while end < len(line):
            match = _TOKEN.match(line, end)
            if match is None or match.lastgroup is None:
                if not line.startswith("  # ", end):
                    raise ValueError(f"cannot read {line[end:]!r}")
                self.source = line[end + 4 :]
                break
            self._tokens.append((match.lastgroup, match[match.lastgroup]))  # type: ignore[arg-type]
            end = match.end()

    @property
    def next(self) -> tuple[Kind, str]:
        """The kind and the text of the next token, without taking it."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def take(self, kind: Kind) -> str:
        """The next token, which must be of this kind.

        Raises:
            ValueError: It is of another.
        """
        found, text = self.next
        if found != kind:
            raise ValueError(f"expected a {kind}, found {text or 'the end of the line'!r}")
        self._at += 1
        return text

    def accept(self, text: str) -> bool:
        """Takes the next token if it is this word or sign."""
        kind, found = self.next
        accepted = kind in ("word", "sign") and found == text
        self._at += accepted
        return accepted

    def expect(self, text: str) -> None:
        """Takes a word or sign that must come next.

        Raises:
            ValueError: Something else does.
        """
        if not self.accept(text):
            raise ValueError(f"expected {text!r}, found {self.next[1] or 'the end of the line'!r}")

    def name(self) -> str:
        """Takes a name as `quote_name` printed it."""
        kind, text = self.next
        if kind == "string" and text.startswith('"'):
            self._at += 1
            return str(json.loads(text))
        return self.take("number" if kind == "number" else "word")

    def string(self) -> str:
        """Takes a string as `repr` printed it."""
        return str(ast.literal_eval(self.take("string")))

    def reference(self) -> tuple[str, str]:
        """Takes a value's name: `%` or `@`, and the plain name."""
        text = self.take("reference")
        return text[0], str(json.loads(text[1:])) if text[1] == '"' else text[1:]

    def end(self) -> None:
        """Checks that nothing is left.

        Raises:
            ValueError: Something is.
        """
        if self.next[0] != "end":
            raise ValueError(f"expected the end of the line, found {self.next[1]!r}")
