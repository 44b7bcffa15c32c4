"""The model card: README.md of a saved network, for the people who find its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from autocompress.io.atomic import atomic_file
from autocompress.io.header import read_bounded, text_sha256
from autocompress.savable import Savable
from autocompress.version import __version__

__all__ = ["CARD", "PICTURE", "Curve", "card_of", "card_text", "is_own_card", "write_card"]

CARD = "README.md"

#: The picture of the depth curve beside the card.
PICTURE = "depth.png"

#: Largest size of a card that is read.
_MOST_BYTES = 2**20

#: Number of class names that a card lists.
_SHOWN = 20

#: What has a meaning in Markdown within a line.
_MARKUP = re.compile(r"[\\`*_\[\]<>&|~$]")

#: ``owner/name`` on the hub.
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

#: The last line of a card as it was written, which pages do not show: a hash of what is above it.
_MARK = "<!-- written by autocompress, which replaces it unless you change it: {} -->\n"

_OPENS = """import autocompress as ac

net = ac.load("FOLDER")  # or ac.load("owner/name", hub=True)
net.depth"""


class Curve(Protocol):
    """The part of a :class:`autocompress.DepthCurve` that a card shows."""

    @property
    def metric(self) -> str:
        """Return the name of the score."""

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per depth."""

    def plot(self) -> Any:
        """Return a matplotlib Figure of score by depth."""


def card_of(net: Savable, curve: Curve | None = None) -> str:
    """Return the card of one of this library's networks.

    Args:
        net: The network.
        curve: The score of its depths, or of those of the network that it was cut from.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=4, width=8, classes=3, image_size=2, channels=1).cut(2)
        >>> print(card_of(net).split("## ")[0].split("---")[2].strip())
        # mlp of depth 2
        <BLANKLINE>
        An Auto-Compressing Network: its layers reach the head by long connections. Saved by
        version 0.1.0 of [autocompress](https://arxiv.org/abs/2506.09714).
        <BLANKLINE>
        - depth: 2 layers
        - connectivity: `"acn"`
    """
    config = net.config
    base, depth = getattr(net, "base_model", None), config.get("depth")
    facts = {
        "base model": base or config.get("source"),
        "depth": None if depth is None else f"{depth} layer{'' if depth == 1 else 's'}",
        "connectivity": f"`{json.dumps(net.rule())}`",
        "task": net.task,
        "classes": None if net.class_names is None else _listed(net.class_names),
    }
    name = str(config.get("source") or net.model_name or type(net).__name__)
    title = f"{name} of depth {depth}"
    return card_text(title, facts, base, "autocompress", _OPENS, curve)


def _listed(names: Sequence[str]) -> str:
    r"""Return the first names and how many more there are, so that Markdown shows them as they are.

    Example:
        >>> print(_listed(["cat", "<b>dog"]))
        cat, \<b\>dog
    """
    shown = [_MARKUP.sub(r"\\\g<0>", " ".join(name.split())) for name in names[:_SHOWN]]
    rest = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join(shown + rest)


def write_card(directory: Path, text: str, curve: Curve | None = None) -> None:
    """Write a card into an existing folder; one that a user has written or changed is kept.

    Args:
        directory: The folder.
        text: Text of the card, from :func:`card_of` or :func:`card_text`.
        curve: Scores that the text was made with; they are drawn beside it.
    """
    there = (directory / CARD).exists()
    if there and not is_own_card(directory / CARD):
        return
    if curve is None and there:
        (directory / PICTURE).unlink(missing_ok=True)  # of the card that is replaced
    if curve is not None:
        with atomic_file(directory / PICTURE) as temporary:
            curve.plot().savefig(temporary, format="png", dpi=120)
    with atomic_file(directory / CARD) as temporary:
        temporary.write_bytes((text + _mark(text)).encode("utf-8"))


def is_own_card(path: Path) -> bool:
    """Return whether the card at ``path`` is as :func:`write_card` wrote it.

    Raises:
        OSError: It cannot be read.
        CheckpointError: It is no file, or larger than any card.
    """
    text = read_bounded(path, _MOST_BYTES).decode("utf-8", "replace")
    lines = text.splitlines(keepends=True)
    return text.endswith(_mark("".join(lines[:-1])))


def _mark(text: str) -> str:
    return _MARK.format(text_sha256(text)[:16])


def _kind(facts: Mapping[str, Any]) -> str:
    """Return what a network is by its connectivity, as the first sentence of its card."""
    if str(facts.get("connectivity")).strip('`"') == "residual":
        return "A residual network whose every depth was scored, so that it can be cut."
    return "An Auto-Compressing Network: its layers reach the head by long connections."


def card_text(
    title: str,
    facts: Mapping[str, Any],
    base: str | None,
    library: str,
    opens: str,
    curve: Curve | None = None,
) -> str:
    """Return the text of a card.

    Args:
        title: Heading of the card.
        facts: Known facts about the network, by name; None values are omitted.
        base: Network that it was made from; the hub links it if it is ``owner/name``.
        library: Library that the hub shows for it.
        opens: Code that loads it.
        curve: Scores of its depths, as in :func:`card_of`.
    """
    head = ["---", f"library_name: {library}", "tags:", "- auto-compressing-networks"]
    if base is not None and _HUB_ID.fullmatch(base):
        head.append(f"base_model: {base}")
    said = [
        *head,
        "---",
        f"# {title}",
        "",
        f"{_kind(facts)} Saved by",
        f"version {__version__} of [autocompress](https://arxiv.org/abs/2506.09714).",
        "",
        *(f"- {name}: {value}" for name, value in facts.items() if value is not None),
        "",
        "## How to open it",
        "",
        "```",
        f"pip install .  # in a checkout of autocompress, version {__version__} or newer",
        "```",
        "",
        "```python",
        *opens.splitlines(),
        "```",
    ]
    if curve is not None:
        said += ["", "## The score of every depth", "", f"![{_seen(curve)}]({PICTURE})", ""]
        said += _table(curve)
    return "\n".join(said) + "\n"


def _seen(curve: Curve) -> str:
    """Return what the picture shows, for those who do not see it."""
    first, *_, last = curve.to_json()
    low, high = (f"{100 * row['score']:.1f} %" for row in (first, last))
    return (
        f"{curve.metric} by depth, from {low} at depth {first['depth']} to {high} at depth "
        f"{last['depth']}"
    )


def _table(curve: Curve) -> Iterable[str]:
    yield f"| depth | {curve.metric}, % | parameters |"
    yield "|---:|---:|---:|"
    for row in curve.to_json():
        yield f"| {row['depth']} | {100 * row['score']:.2f} | {row['parameters']:,} |"
