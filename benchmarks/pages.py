"""Tables that the benchmarks write into the pages of docs/."""

from __future__ import annotations

__all__ = ["between"]


def between(page: str, mark: str, text: str) -> str:
    """The page with ``text`` between ``<!-- mark -->`` and ``<!-- /mark -->``."""
    before, rest = page.split(f"<!-- {mark} -->\n")
    _, after = rest.split(f"<!-- /{mark} -->")
    return f"{before}<!-- {mark} -->\n{text}\n<!-- /{mark} -->{after}"
