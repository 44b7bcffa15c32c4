"""``acn export``: write the network for another runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.common import Answer, Common, model, target
from autocompress.commands.own import network
from autocompress.conversion import Converted, save_host
from autocompress.io import export

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn export``.

    Args:
        output: File to write, NAME.onnx or NAME.pt2; or a folder, for a network of transformers or
            timm, which that library opens; model.onnx in the next free runs/export-N unless given.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    output: str | None = None
    import_: str | None = None


def run(args: Options) -> Answer:
    """Write the file; the answer says how far its outputs are from eager PyTorch's."""
    net = network(args.model, args.import_)
    if args.output is not None and not Path(args.output).suffix and isinstance(net, Converted):
        save_host(net, args.output)
        source = str(net.config["source"])
        return Answer(
            f"exported: {args.output}, a folder of {source}",
            {"output": args.output, "source": source},
        )
    file = target(args.output, "export", "model.onnx")
    check = export(net, file, net.example())
    difference = check.max_abs_difference
    text = f"exported: {file}, at most {difference:.1e} from eager"
    return Answer(text, {"output": str(file), "max_abs_difference": difference})
