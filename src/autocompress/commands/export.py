"""``acn export``: write the network for another runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.positional import model
from autocompress.io import export
from autocompress.pipeline import load_network

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn export``.

    Args:
        output: File to write, NAME.onnx or NAME.pt2.
    """

    model: str = model()
    output: str


def run(args: Options) -> None:
    """Write the file and print the largest difference of its outputs from eager PyTorch's."""
    net = load_network(Path(args.model))
    check = export(net, args.output, net.example())
    print(f"exported: {args.output}, at most {check.max_abs_difference:.1e} from eager")
