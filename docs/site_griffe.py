"""Extension of griffe: what our docstrings write otherwise than griffe reads it."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Show examples as code, and arguments that share a line as arguments of their own."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring before it is parsed."""
        if obj.docstring is None:
            return
        text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.M)
        text = re.sub(r":(?:class|func|meth|mod|attr|data|exc):`~?([^`]+)`", r"`\1`", text)
        text = re.sub(r"^(>>> .*(?:\n.+)*)", r"```pycon\n\1\n```", text, flags=re.M)
        obj.docstring.value = re.sub(r"^( +)(\w+(?:, \w+)+): (.*)$", _apart, text, flags=re.M)


def _apart(line: re.Match[str]) -> str:
    indent, names, words = line.groups()
    return "\n".join(f"{indent}{name}: {words}" for name in names.split(", "))
