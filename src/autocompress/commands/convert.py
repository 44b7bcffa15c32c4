"""``acn convert``: convert a network of another library to an auto-compressing one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from autocompress.commands.common import Answer, Common, place, target
from autocompress.conversion import convert
from autocompress.io import save
from autocompress.pipeline import RULES, check_rule
from autocompress.printing import layer_words

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn convert``.

    Args:
        arguments: Arguments of the source's constructor.
        blocks: Path of its list of layers, if there are several.
        connectivity: Rule between the layers: acn, residual, hacn, ..., or with options
            {name: hyper, streams: 3}.
        output: Folder for the network; the next free runs/convert-N unless given.
    """

    source: str = place("Network: timm:NAME, hf:TYPE, hf:CLASS or hf:CHECKPOINT.")
    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: str | None = None
    connectivity: Annotated[str | Mapping[str, Any], RULES] = "acn"
    output: str | None = None


def run(args: Options) -> Answer:
    """Convert the source and save it."""
    check_rule(args.connectivity, "connectivity")
    net = convert(args.source, args.connectivity, blocks=args.blocks, arguments=args.arguments)
    folder = target(args.output, "convert")
    save(net, folder)
    text = f"converted: {folder}, {layer_words(net.depth)}, connectivity {net.rule()}"
    return Answer(text, {"output": str(folder), "depth": net.depth, "connectivity": net.rule()})
