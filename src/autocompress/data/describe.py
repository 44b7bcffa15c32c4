"""Describe a data set in lines to read before training: classes, counts, origin of the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from autocompress.data.splits import Splits

__all__ = ["by_class", "description_lines"]

#: Largest number of classes that are listed one by one.
_MOST_LINES = 100


def by_class(sources: Mapping[str, Any], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the number of examples of every class in every split, as JSON.

    Args:
        sources: Objects with ``labels``, by split.
        classes: Class names by label.
    """
    counts = {
        split: torch.bincount(source.labels, minlength=len(classes)).tolist()
        for split, source in sources.items()
    }
    return {
        name: {split: numbers[label] for split, numbers in counts.items()}
        for label, name in enumerate(classes)
    }


def description_lines(data: Splits) -> list[str]:
    """Return what a user should know about the data before training on them.

    Args:
        data: Result of :func:`load_data`.

    Returns:
        Lines: the set and its splits, a table of examples by class, the origin of splits that were
        made here, and what was skipped or is unusual.

    Example:
        >>> from autocompress.data import DataConfig, load_data
        >>> print(description_lines(load_data(DataConfig(name="digits")))[0])
        data: digits: train 1149, validation 288, test 360; 10 classes
    """
    said = data.description
    sizes = ", ".join(
        f"{split} {size:,}" if size > 9999 else f"{split} {size}"
        for split, size in data.sizes.items()
    )
    examples: dict[str, dict[str, int]] = said.get("examples", {})
    classes = f"; {len(examples)} classes" if examples else ""
    lines = [f"data: {data.name}: {sizes}{classes}"]
    if examples:
        lines += _table(examples, list(data.sizes))
    origin = said.get("origin", {})
    lines += [f"{split}: {words}" for split, words in origin.items() if words != _own(split)]
    return lines + [f"note: {remark}" for remark in said.get("remarks", [])]


def _own(split: str) -> str:
    return f"the set's own {split} split"


def _table(examples: Mapping[str, Mapping[str, int]], splits: Sequence[str]) -> list[str]:
    shown = list(examples.items())[:_MOST_LINES]
    width = min(40, max(len("class"), *(len(name) for name, _ in shown)))
    lines = [f"  {'class':<{width}}" + "".join(f"{split:>12}" for split in splits)]
    for name, counts in shown:
        lines.append(f"  {name:<{width}}" + "".join(f"{counts[split]:>12}" for split in splits))
    rest = list(examples.values())[_MOST_LINES:]
    if rest:
        least, most = min(r["train"] for r in rest), max(r["train"] for r in rest)
        lines.append(f"  and {len(rest)} more classes, {least} to {most} training examples each")
    return lines
