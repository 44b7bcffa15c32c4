"""``acn export``: write the network for another runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocompress.commands.common import Answer, Common, model, target
from autocompress.commands.own import load_own
from autocompress.commands.shared import data_of
from autocompress.conversion import Converted, save_host
from autocompress.data import DataConfig
from autocompress.deploy import Exported, export
from autocompress.depth import ExitRecord
from autocompress.errors import ConfigError
from autocompress.io.exporting import TOLERANCE
from autocompress.network import Network
from autocompress.pipeline.saved import find_model, find_run
from autocompress.predict.predictor import model_folder
from autocompress.printing import figures, layer_words

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn export``.

    Args:
        whole: Whether to take the whole network of a run. Without it, and without depths, the
            network that acn predict uses is taken: the smaller one if there is one.
        output: File to write, NAME.onnx or NAME.pt2; or a folder. With depths or raw a folder gets
            a graph for each part of the depth and a program that runs them; without, a network of
            transformers or timm is written as that library opens it. model.onnx in the next free
            runs/export-N unless given.
        depths: Depths of the whole network at which the folder can be read, e.g. 3 6 12; empty
            takes those of exits.json beside the network, or full depth alone.
        raw: Whether the graphs take bytes of pictures, and return probabilities and class names.
        format: Formats of a folder's graphs, onnx, pt2 or both; onnx unless given.
        tolerance: Largest accepted difference of an output from PyTorch's; 1e-4 unless given, which
            a network in half precision may need larger, e.g. 0.01.
        data: Data to score the folder on, if the network belongs to no run.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    output: str | None = None
    whole: bool = False
    depths: list[int] | None = None
    raw: bool = False
    format: tuple[str, ...] | None = None
    tolerance: float | None = None
    data: DataConfig | None = None
    import_: str | None = None


def run(args: Options) -> Answer:
    """Write the file or folder; the answer says how far its outputs are from eager PyTorch's."""
    suffix = Path(args.output or "").suffix
    folder = _folder(args, exits=args.output is not None and not suffix)
    net = load_own(folder, args.import_)
    if args.depths is not None or (args.output is not None and not suffix):
        library = isinstance(net, Converted) and not net.owner_builds
        if isinstance(net, Converted) and library and args.depths is None and not args.raw:
            return _as_host(args, net, folder)
        return _in_segments(args, net, folder)
    if args.data is not None:
        raise ConfigError("--data scores the depths of a folder: name one, --output FOLDER")
    file = target(args.output, "export", "model.onnx")
    if args.format is not None and {*args.format} != {file.suffix[1:]}:
        raise ConfigError(
            f"--format {' '.join(args.format)} is for the graphs of a folder, and {file} is one "
            f"file, whose name says its format: --output NAME.{args.format[0]}, or --output FOLDER"
        )
    tolerance = _tolerance(args)
    check = export(net, file, tolerance=tolerance, raw=args.raw, source=_source(folder))
    difference = check.max_abs_difference
    text = f"exported: {file}, outputs differ from PyTorch's by at most {figures(difference, 2)}"
    value = {**_network(net, folder), "output": str(file), "max_abs_difference": difference}
    return Answer(f"{text}\n{_said(args, net, folder)}", value)


def _folder(args: Options, exits: bool) -> Path:
    """Return the folder of the network: of a run, the one to predict with unless all is asked for.

    Args:
        args: The options.
        exits: Whether exits.json goes with the network, so that one that has it comes first.
    """
    path = Path(args.model)
    return find_model(path) if args.whole or args.depths is not None else model_folder(path, exits)


def _network(net: Network, folder: Path) -> dict[str, Any]:
    return {"network": str(folder), "depth": net.depth}


def _said(args: Options, net: Network, folder: Path) -> str:
    """Return which network it is, and how to get the other one of the run if there is one."""
    said, whole = f"network: {folder}, {layer_words(net.depth)}", folder.parent / "model"
    if folder.name != "small" or folder == Path(args.model) or not whole.is_dir():
        return said
    return f"{said} (--whole takes {whole})"


def _tolerance(args: Options) -> float:
    return TOLERANCE if args.tolerance is None else args.tolerance


def _as_host(args: Options, net: Converted, folder: Path) -> Answer:
    source, output = str(net.config["source"]), str(args.output)
    for name in ("format", "tolerance", "data"):
        if getattr(args, name) is not None:
            raise ConfigError(
                f"--{name} is for a folder of graphs, and {output} becomes a folder of {source}: "
                "with --depths or --raw it gets graphs"
            )
    save_host(net, output)
    value = {**_network(net, folder), "output": output, "source": source}
    return Answer(f"exported: {output}, a folder of {source}\nnetwork: {folder}", value)


def _in_segments(args: Options, net: Network, folder: Path) -> Answer:
    path = Path(args.model)
    data = None
    if args.data is not None or find_run(path) is not None:
        data = data_of(path, args.data, net).test
    record = ExitRecord.load(folder)
    done = export(
        net,
        target(args.output, "export"),
        tolerance=_tolerance(args),
        depths=args.depths,
        raw=args.raw,
        formats=("onnx",) if args.format is None else args.format,
        data=data,
        exits=None if record is None else record.rule,
        source=_source(folder),
    )
    assert isinstance(done, Exported)
    value = {
        **_network(net, folder),
        "output": str(done.path),
        "depths": list(done.depths),
        "bytes": done.bytes,
        "max_abs_difference": done.max_abs_difference,
        "differences": done.checks.differences,
        "not_tried": done.checks.failures,
        "scores": {k: {str(d): v for d, v in of.items()} for k, of in done.scores.items()},
    }
    left_out = _left_out(record, done.depths)
    return Answer(f"exported: {done}\n{_said(args, net, folder)}{left_out}", value)


def _left_out(record: ExitRecord | None, depths: Sequence[int]) -> str:
    """Return a line on the exits that the exported folder does not have, or nothing."""
    exits = [] if record is None else record.rule.depths[:-1]
    missing = [str(depth) for depth in exits if depth not in depths]
    if not missing:
        return ""
    kept = ", ".join(str(depth) for depth in exits if depth in depths)
    leave = f"examples leave at {kept} only" if kept else "no example leaves early"
    return f"\nexits.json has exits at depths {', '.join(missing)}, which are not exported: {leave}"


def _source(folder: Path) -> str:
    """Return the name of the run, or of the folder, that the network comes from."""
    return (find_run(folder) or folder).resolve().name
