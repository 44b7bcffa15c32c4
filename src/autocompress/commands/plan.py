"""``acn plan``: show what converting a network would do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from autocompress.commands.common import Answer, Common, place
from autocompress.conversion import plan
from autocompress.conversion.sources import build_source
from autocompress.errors import ConvertError

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn plan``.

    Args:
        arguments: Arguments of the source's constructor.
        blocks: Path of its list of layers, if there are several.
    """

    source: str = place("Network: timm:NAME, hf:TYPE, hf:CLASS or hf:CHECKPOINT.")
    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: str | None = None


def run(args: Options) -> Answer:
    """Plan the conversion; where the network cannot be converted, the answer is an error too."""
    with torch.device("meta"):  # only shapes are needed
        model = build_source(args.source, args.arguments)
    found = plan(model, blocks=args.blocks)
    refused = None if found else ConvertError(f"{found.model} cannot be converted")
    return Answer(str(found), asdict(found), refused)
