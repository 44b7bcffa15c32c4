"""``export``: one file for other programs, or a folder with a graph for each part of the depth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from autocompress.deploy import manifest
from autocompress.deploy.job import Exported, ExportJob
from autocompress.deploy.writing import WRITERS
from autocompress.depth.exit_rule import ExitRule
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.io import ExportCheck, export_file
from autocompress.io.atomic import check_no_file
from autocompress.io.exporters import suffixes
from autocompress.io.exporting import TOLERANCE
from autocompress.network import Network
from autocompress.training.inputs import Data

__all__ = ["Exported", "export"]


def export(
    net: nn.Module,
    path: str | os.PathLike[str],
    example: Any = None,
    tolerance: float = TOLERANCE,
    *,
    overwrite: bool = False,
    depths: Sequence[int] | None = None,
    raw: bool = False,
    formats: Sequence[str] = ("onnx",),
    data: Data | None = None,
    exits: ExitRule | None = None,
    source: str | None = None,
) -> ExportCheck | Exported:
    """Write ``net`` for programs that have neither this library nor torch.

    A path that ends in ``.onnx``, ``.pt2`` or another registered suffix becomes one file
    (:func:`autocompress.io.export_file`). Any other path becomes a folder with one graph for the
    layers between two depths, one head, and:

    - ``export.json``: what the graphs take and answer, and how they follow one another;
    - ``cascade.py``: a program that runs them with onnxruntime and numpy (``tokenizers`` for texts)
      and stops where a prediction is certain enough;
    - ``tokenizer.json``: for texts.

    No weight is stored twice. Batch size and text length are open, and texts have a mask beside
    their tokens. Each file appears only if it computes what the network does.

    Args:
        net: The network, which is left unchanged.
        path: The file or folder to write.
        example: A batch (B, ...) of inputs, B >= 1; None uses ``net.example()``.
        tolerance: Largest accepted absolute difference of an output.
        overwrite: Whether to replace an existing file or folder.
        depths: Depths at which the folder can be read, the last one its full depth; None is full
            depth alone, or the depths of ``exits``.
        raw: Whether the graphs take pictures as bytes (B, H, W, C) of the network's size, and
            return probabilities and the name of the likeliest class beside the logits. Tokens stay
            tokens.
        formats: Formats of the folder's graphs: ``"onnx"``, ``"pt2"`` or both.
        data: Data on which each depth is scored in every runtime.
        exits: Calibrated exits for the cascade (:meth:`autocompress.ExitRecord.load`).
        source: Name of the run that the network comes from, for the metadata.

    Returns:
        :class:`ExportCheck` for a file, :class:`Exported` for a folder.

    Raises:
        ConfigError: The path has another suffix, or an option does not go with a file.
        DepthError: A depth is outside the network.
        MissingExtraError: The extra "onnx" is not installed.
        ShapeError: The network cannot take the example.
        OutputError: The file or folder exists, or cannot be written.
        ExportError: The network cannot be traced, or what was written computes something else.

    Example:
        >>> import tempfile, autocompress as ac
        >>> net = ac.models.MLP(depth=4, width=8, classes=3, image_size=2, channels=1)
        >>> done = export(net, tempfile.mkdtemp(), depths=[2, 4], formats=["pt2"])
        >>> done.depths, done.max_abs_difference < 1e-5
        ((2, 4), True)
    """
    path = Path(path)
    if not isinstance(net, nn.Module):
        raise ConfigError(f"export takes a network, not a {type(net).__name__}")
    if example is None:
        example = _own_example(net)
    if path.suffix in suffixes():
        if depths is not None or data is not None or exits is not None:
            raise ConfigError(
                f"depths, data and exits are for a folder, and {path.name!r} is one file: name a "
                "folder"
            )
        if not raw:
            said = _file_metadata(net, example, source)
            return export_file(net, path, example, tolerance, overwrite=overwrite, metadata=said)
        return _raw_file(_network(net), path, example, tolerance, overwrite, source)
    if path.suffix and not path.is_dir():
        raise ConfigError(
            f"{path.name!r}: the name of an export ends in {' or '.join(suffixes())}, or names a "
            "folder"
        )
    for kind in formats:
        if kind not in WRITERS:
            raise UnknownNameError("export format", kind, WRITERS)
    network = _network(net)
    if not formats:
        raise ConfigError(f"formats is empty; expected one or more of {', '.join(WRITERS)}")
    # export.json names the files of the first one: ONNX, which cascade.py runs, if it is asked for
    job = ExportJob(network, raw, source, tuple(sorted({*formats})), tolerance)
    asked = _depths(network, depths, exits)
    return job.write(path, example, asked, exits, data, overwrite)


def _network(net: nn.Module) -> Network:
    if not isinstance(net, Network):
        raise ConfigError(
            f"a {type(net).__name__} has no depths to export and no record of its preparation: "
            "convert it first (ac.convert), or write one file without raw"
        )
    return net


def _own_example(net: nn.Module) -> Any:
    if not isinstance(net, Network):
        raise ConfigError("export needs an example, a batch that the network takes")
    return net.example()


def _depths(net: Network, depths: Sequence[int] | None, exits: ExitRule | None) -> list[int]:
    found = list(depths or ())
    if depths is None:
        found = [net.depth] if exits is None else exits.depths
    if not found:
        raise ConfigError("depths is empty: name at least one, e.g. depths=[3, 6, 12]")
    for depth in found:
        if type(depth) is not int:
            raise ConfigError(f"depths {found}: {depth!r} is not a whole number")
        net.check_depth(depth)
    if found != sorted(set(found)):
        raise ConfigError(f"depths {found} must ascend, each once")
    return found


def _file_metadata(net: nn.Module, example: Any, source: str | None) -> dict[str, Any]:
    """Return the metadata of one file; empty for a module that records nothing."""
    if not isinstance(net, Network) or net.class_names is None:
        outputs = (net.classes or 0) if isinstance(net, Network) else 0
    else:
        outputs = len(net.class_names)
    if not isinstance(net, Network) or not outputs:
        return {}
    try:
        said = manifest.described(net, outputs, False, source)
    except (ConfigError, ValueError):  # what is recorded does not fit; the graph is right
        return {}
    return manifest.flat({**said, "depth": net.depth})


def _raw_file(
    net: Network, path: Path, example: Any, tolerance: float, overwrite: bool, source: str | None
) -> ExportCheck:
    """Write a whole network with its preparation as one file."""
    check_no_file(path, overwrite)
    kind = path.suffix[1:]
    if kind not in WRITERS:
        raise ConfigError(f"{path.name!r}: raw is for the formats {' and '.join(WRITERS)}")
    job = ExportJob(net, True, source, (kind,), tolerance)
    return job.write_file(path, example)
