"""``acn plan``: show what converting a network would do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from autocompress.commands.positional import place
from autocompress.conversion import plan
from autocompress.conversion.sources import build_source
from autocompress.errors import ConvertError

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn plan``.

    Args:
        arguments: Arguments of the source's constructor.
        blocks: Path of its list of layers, if there are several.
        json: Whether to print JSON instead of a table.
    """

    source: str = place("Network: timm:NAME, hf:TYPE, hf:CLASS or hf:CHECKPOINT.")
    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: str | None = None
    json: bool = False


def run(args: Options) -> None:
    """Print the plan; raise ConvertError if the network cannot be converted."""
    with torch.device("meta"):  # only shapes are needed
        model = build_source(args.source, args.arguments)
    found = plan(model, blocks=args.blocks)
    print(json.dumps(asdict(found), default=str, allow_nan=False) if args.json else found)
    if not found:
        raise ConvertError(f"{found.model} cannot be converted")
