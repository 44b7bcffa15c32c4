"""Run exported files in every runtime at hand, compare them with the network, and score them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autocompress.deploy.cascade import Arrays, Cascade, Graph
from autocompress.deploy.segments import IDS, IMAGES, LOGITS, MASK, Entrance, Named
from autocompress.errors import ExportError
from autocompress.io.exporting import precision_hint, rounding_hint
from autocompress.measurement.modes import device_of
from autocompress.network import Network
from autocompress.training.evaluate import scores_by_depth
from autocompress.training.inputs import Data, batches

__all__ = ["LOADERS", "Checked", "checked", "scored"]

Loader = Callable[[Path], Graph]


def _pt2(path: Path) -> Graph:
    run = torch.export.load(path.with_suffix(".pt2")).module()

    def call(given: Arrays) -> Arrays:
        with torch.no_grad():
            found = run(
                {
                    name: torch.from_numpy(np.ascontiguousarray(value))
                    for name, value in given.items()
                }
            )
        return {name: tensor.numpy() for name, tensor in found.items()}

    return call


def _onnx(path: Path) -> Graph:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Otherwise its threads spin on after a run, and what is timed next takes twice as long.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    taken = {one.name for one in session.get_inputs()}

    def call(given: Arrays) -> Arrays:
        fed = {name: value for name, value in given.items() if name in taken}
        return dict(zip(names, session.run(names, fed), strict=True))

    return call


def _openvino(path: Path) -> Graph:
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    taken = {one.get_any_name() for one in model.inputs}
    names = [one.get_any_name() for one in model.outputs]

    def call(given: Arrays) -> Arrays:
        out = model({name: value for name, value in given.items() if name in taken})
        return {name: np.array(out[name]) for name in names}

    return call


#: Runtimes by name: the format that each reads, and how it opens a file.
LOADERS: dict[str, tuple[str, Loader]] = {
    "onnxruntime": ("onnx", _onnx),
    "openvino": ("onnx", _openvino),
    "pt2": ("pt2", _pt2),
}

#: Runtimes whose failure to run a file is told but is not an error.
_OPTIONAL = ("openvino",)


@dataclass(frozen=True)
class Checked:
    """The outcome of running exported files in each runtime.

    Attributes:
        differences: Largest absolute difference of an output from the network's, by runtime.
        failures: Reasons why an installed runtime could not run the files.
    """

    differences: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def checked(
    net: Network,
    entrance: Entrance,
    written: Mapping[str, Path],
    given: Sequence[Named],
    tolerance: float,
    depths: Sequence[int] | None = None,
) -> Checked:
    """Compare what was written with the network.

    Args:
        net: The network.
        entrance: The user's arrays.
        written: The file, or the folder, of each format.
        given: Batches to compare on.
        tolerance: Largest accepted absolute difference.
        depths: Depths of a folder; None for a file.

    Raises:
        ExportError: A difference is larger, or a runtime fails.
    """
    done = Checked()
    for runtime, (kind, load) in LOADERS.items():
        if kind not in written or importlib.util.find_spec(_package(runtime)) is None:
            continue
        try:
            difference = _difference(net, entrance, written[kind], given, load, depths)
        except Exception as error:  # runtimes raise what they like
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if runtime in _OPTIONAL:
                done.failures[runtime] = reason
                continue
            raise ExportError(
                f"{runtime} cannot run what was written: {reason}{precision_hint(net)}"
            ) from error
        if runtime in _OPTIONAL and not difference <= tolerance:
            done.failures[runtime] = f"its outputs differ by {difference:.3g}"
            continue
        if not difference <= tolerance:  # written so that NaN fails too
            raise ExportError(
                f"what was written computes something else than the network in {runtime}: "
                f"outputs differ by {difference:.3g}, tolerance is {tolerance:.3g}; nothing was "
                f"kept{rounding_hint(net)}"
            )
        done.differences[runtime] = difference
    return done


def _package(runtime: str) -> str:
    return "torch" if runtime == "pt2" else runtime


def _difference(
    net: Network,
    entrance: Entrance,
    path: Path,
    given: Sequence[Named],
    load: Loader,
    depths: Sequence[int] | None,
) -> float:
    read = _whole(load(path), net.depth) if depths is None else Cascade(path, load).readouts
    worst = 0.0
    for named in given:
        x = entrance.make(named)
        for depth, logits in read({name: tensor.numpy() for name, tensor in named.items()}):
            expected = net(x) if depth == net.depth else net(x, depth)
            got = torch.from_numpy(np.asarray(logits))
            if expected.shape != got.shape:
                return float("inf")
            difference = float((expected.double() - got.double()).abs().max())
            worst = max(worst, difference) if difference == difference else float("nan")
            if worst != worst:
                return worst
    return worst


def _whole(call: Graph, depth: int) -> Callable[[Arrays], Iterable[tuple[int, Any]]]:
    return lambda arrays: [(depth, call(arrays)[LOGITS])]


def scored(
    net: Network, entrance: Entrance, folder: Path, done: Checked, data: Data, raw: bool
) -> dict[str, dict[int, float]]:
    """Return the score at each depth of a folder, in each runtime that ran it and in ``torch``.

    Args:
        net: The network, on the CPU.
        entrance: The user's arrays.
        folder: The folder.
        done: The result of :func:`checked`.
        data: Examples with labels.
        raw: Whether the graphs take pictures as bytes.
    """
    found: dict[str, dict[int, float]] = {}
    depths = Cascade(folder, lambda path: dict).depths
    every = scores_by_depth(net, data, what="exported").hits.double().mean(0).tolist()
    found["torch"] = {depth: every[depth] for depth in depths}
    for runtime in done.differences:
        run = partial(_logits, Cascade(folder, LOADERS[runtime][1]))
        hits = score_of(net, entrance, data, raw, run)
        found[runtime] = dict(zip(depths, hits, strict=True))
    return found


def _logits(graphs: Cascade, given: Arrays) -> Iterator[Any]:
    return (logits for _, logits in graphs.readouts(given))


def score_of(
    net: Network,
    entrance: Entrance,
    data: Data,
    raw: bool,
    run: Callable[[Arrays], Iterator[Any]],
) -> list[float]:
    """Return the scores of what another runtime computes.

    Args:
        net: The network, which says how its inputs are prepared and its answers scored.
        entrance: The user's arrays.
        data: Examples with labels.
        raw: Whether pictures are given as bytes.
        run: Function from arrays to logits (B, K), one after another for each depth.
    """
    bytes_ = iter(batches(data, 256, device_of(net))) if raw else None

    def read(_: Network, inputs: Any) -> Iterator[Tensor]:
        pixels = next(bytes_)[0] if bytes_ is not None else None
        for logits in run(_named(net, entrance, inputs, pixels)):
            yield torch.from_numpy(np.asarray(logits))

    found = scores_by_depth(net, data, read=read, what="exported")
    return [float(value) for value in found.hits.double().mean(0).tolist()]


def _named(net: Network, entrance: Entrance, inputs: Any, pixels: Any) -> Arrays:
    """Return the arrays for a batch as the network takes it."""
    names = list(entrance.example)
    if isinstance(inputs, Mapping):
        return {name: inputs[name].numpy() for name in names}
    if names == [IMAGES]:
        if pixels is not None and entrance.example[IMAGES].dtype == torch.uint8:
            return {IMAGES: np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())}
        return {IMAGES: inputs.numpy()}
    pad = net.config.get("pad", (net.preprocess or {}).get("pad"))
    ids = inputs.long()
    mask = torch.ones_like(ids) if pad is None else (ids != pad).long()
    both = {IDS: ids.numpy(), MASK: mask.numpy()}
    return {name: both[name] for name in names}
