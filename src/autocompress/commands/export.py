"""``acn export``: write the network for another runtime."""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.commands.own import network
from autocompress.commands.positional import model
from autocompress.io import export

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn export``.

    Args:
        output: File to write, NAME.onnx or NAME.pt2.
        import_: Class of the user, package.module:Class, for a network of it; or only a module
            that registers what the network is made of.
    """

    model: str = model()
    output: str
    import_: str | None = None


def run(args: Options) -> None:
    """Write the file and print the largest difference of its outputs from eager PyTorch's."""
    net = network(args.model, args.import_)
    check = export(net, args.output, net.example())
    print(f"exported: {args.output}, at most {check.max_abs_difference:.1e} from eager")
