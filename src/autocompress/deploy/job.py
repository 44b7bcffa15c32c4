"""Write an exported folder, or a file with the preparation in it, and check what was written."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autocompress.checks import check_example, rows_of
from autocompress.deploy import cascade, manifest
from autocompress.deploy.checking import Checked, checked, scored
from autocompress.deploy.segments import (
    IMAGES,
    READOUT,
    Entrance,
    Head,
    Named,
    NetworkParts,
    Packing,
    Segment,
    Whole,
    entrance_of,
    parts_of,
)
from autocompress.deploy.tracing import Traced, passes_of, trace
from autocompress.deploy.writing import WRITERS, check_replaced
from autocompress.depth.exit_rule import ExitRule
from autocompress.errors import ConfigError, ExportError
from autocompress.io import ExportCheck, atomic_dir, atomic_file, write_json
from autocompress.io.exporting import check_onnx, on_cpu, quiet
from autocompress.network import Network
from autocompress.printing import figures
from autocompress.training.inputs import Data

__all__ = ["Exported", "ExportJob"]


@dataclass(frozen=True)
class Exported:
    """An exported folder.

    Attributes:
        path: The folder.
        depths: Depths at which it can be read.
        checks: Largest difference from the network, for each runtime that ran the files.
        scores: Score at each depth in each runtime, and in ``torch``; empty without data.
        bytes: Size of the graphs of each format.
    """

    path: Path
    depths: tuple[int, ...]
    checks: Checked
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)

    @property
    def max_abs_difference(self) -> float:
        """Return the largest difference of an output from the network's, in any runtime."""
        return max(self.checks.differences.values())

    def __str__(self) -> str:
        lines = [f"{self.path}: depths {', '.join(map(str, self.depths))}"]
        for kind, size in self.bytes.items():
            lines.append(f"  {kind}: {size / 1e6:.2f} MB")
        for runtime, difference in self.checks.differences.items():
            lines.append(
                f"  {runtime}: outputs differ from PyTorch's by at most {figures(difference, 2)}"
            )
        lines += [f"  {runtime}: not tried: {why}" for runtime, why in self.checks.failures.items()]
        for runtime, scores in self.scores.items():
            said = ", ".join(f"depth {k} {100 * v:.2f} %" for k, v in scores.items())
            lines.append(f"  score in {runtime}: {said}")
        return "\n".join(lines)


class ExportJob:
    """The writing of one export.

    Args:
        net: The network.
        raw: Whether preparation and probabilities are part of the graphs.
        source: Name of the run.
        formats: The formats.
        tolerance: Largest accepted difference.
    """

    def __init__(
        self,
        net: Network,
        raw: bool,
        source: str | None,
        formats: tuple[str, ...],
        tolerance: float,
    ) -> None:
        if "onnx" in formats:
            check_onnx(net)
        self.net = copy.deepcopy(net).cpu().eval()
        self.raw, self.source, self.formats, self.tolerance = raw, source, formats, tolerance
        self.arrays: dict[str, Any] = {}

    def _entrance(self, example: Any) -> Entrance:
        example = check_example(self.net, on_cpu(example), "exported")
        return entrance_of(self.net, rows_of(example, [0, 0]), self.raw)

    def _said(self, entrance: Entrance, depths: Sequence[int]) -> dict[str, Any]:
        logits = self.net(entrance.make(entrance.example))
        if logits.dim() != 2:
            raise ConfigError(
                "a folder of graphs and raw export are for networks that classify, and this "
                f"network answers for each token (outputs of shape {tuple(logits.shape)}): export "
                "one file, NAME.onnx"
            )
        said = manifest.described(self.net, int(logits.shape[1]), self.raw, self.source)
        pixels = entrance.example.get(IMAGES)
        if said["preprocess"] is not None and pixels is not None and not self.raw:
            said["preprocess"]["dtype"] = str(pixels.dtype).removeprefix("torch.")
        said["export"] = manifest.identity(self.net, depths, self.raw)
        return said

    def write_file(self, path: Path, example: Any) -> ExportCheck:
        """Write one file with all that the network does."""
        with torch.no_grad(), quiet(), atomic_file(path) as temporary:
            entrance = self._entrance(example)
            said = manifest.flat(
                {**self._said(entrance, [self.net.depth]), "depth": self.net.depth}
            )
            batches, sizes = passes_of(self.net, entrance)
            traced, _ = trace(Whole(self.net, entrance, True), batches, sizes, "the network")
            (kind,) = self.formats
            WRITERS[kind](traced, temporary, said, self._names(said))
            done = checked(
                self.net,
                entrance,
                {kind: temporary},
                batches,
                self.tolerance,
            )
        lengths = tuple(sorted({length for _, length in sizes[2:]}))
        return ExportCheck(path, max(done.differences.values()), (2, 3), lengths)

    def _names(self, said: dict[str, Any]) -> list[str] | None:
        one_class = self.raw and said["objective"] == "classification"
        return list(said["classes"]) if one_class else None

    def write(
        self,
        path: Path,
        example: Any,
        depths: list[int],
        exits: ExitRule | None,
        data: Data | None,
        overwrite: bool,
    ) -> Exported:
        """Write the folder."""
        if overwrite:
            check_replaced(path)
        with torch.no_grad(), quiet(), atomic_dir(path, overwrite) as temporary:
            entrance = self._entrance(example)
            said = self._said(entrance, depths)
            said |= {"depths": depths, "exits": manifest.exits_at(exits, depths)}
            done = self._graphs(temporary, entrance, said, depths)
            shutil.copyfile(cascade.__file__, temporary / "cascade.py")
            if self.net.tokenizer is not None:
                (temporary / manifest.TOKENIZER).write_bytes(self.net.tokenizer.encode())
            scores: dict[str, dict[int, float]] = {}
            if data is not None:
                scores = scored(self.net, entrance, temporary, done, data, self.raw)
            said |= {"scores": _keyed(scores), "differences": done.differences}
            write_json(temporary / manifest.MANIFEST, said)
            sizes = {
                kind: sum(file.stat().st_size for file in temporary.glob(f"*.{kind}"))
                for kind in self.formats
            }
        return Exported(path, tuple(depths), done, scores, sizes)

    def _graphs(
        self, folder: Path, entrance: Entrance, said: dict[str, Any], depths: list[int]
    ) -> Checked:
        """Write the graphs with open text length if possible, and check them."""
        batches, sizes = passes_of(self.net, entrance)
        for open_ in (True, False):
            if not open_:
                batches, sizes = batches[:2], sizes[:2]
            try:
                said["open_length"] = len(sizes) > 2
                said["segments"] = self._segments(folder, entrance, said, depths, batches, sizes)
                said["arrays"] = self.arrays
                write_json(folder / manifest.MANIFEST, said)
                formats = dict.fromkeys(self.formats, folder)
                return checked(self.net, entrance, formats, batches, self.tolerance, depths)
            except ExportError:
                if not open_ or not said["open_length"]:
                    raise
                for file in folder.iterdir():
                    file.unlink()
        raise AssertionError("one of the two rounds returns or raises")

    def _segments(
        self,
        folder: Path,
        entrance: Entrance,
        said: dict[str, Any],
        depths: list[int],
        batches: list[Named],
        sizes: list[tuple[int, int]],
    ) -> list[dict[str, Any]]:
        """Trace and write the graphs; return what export.json says of them."""
        parts, self.arrays = parts_of(self.net), {}
        known = [dict(batch) for batch in batches]  # all arrays so far, in each pass
        heads: dict[int, dict[str, Any]] = {}
        found: list[dict[str, Any]] = []
        state: Packing | None = None
        context: Packing | None = None
        first = 0
        for depth in depths:
            segment = Segment(parts, entrance, first, depth, state, context)
            taken = (
                list(batches[0])
                if state is None or context is None
                else [
                    *state.names,
                    *context.names,
                ]
            )
            traced = self._traced(segment, taken, known, sizes, f"the segment to depth {depth}")
            self._save(traced, folder, f"segment-{depth}", said, depth, None)
            head = self._head(parts, entrance, depth, folder, said, known, sizes, heads)
            found.append(
                {
                    "depth": depth,
                    "file": f"segment-{depth}.{self.formats[0]}",
                    "inputs": taken,
                    "outputs": list(traced.outputs),
                    "head": head,
                }
            )
            state, context, first = segment.after, segment.carried or context, depth
        return found

    def _traced(
        self,
        module: nn.Module,
        taken: list[str],
        known: list[Named],
        sizes: list[tuple[int, int]],
        name: str,
    ) -> Traced:
        """Trace a module on arrays that are known, and add its outputs to them."""
        given = [{key: arrays[key] for key in taken} for arrays in known]
        traced, results = trace(module, given, sizes, name)
        for arrays, result in zip(known, results, strict=True):
            arrays |= result
        self.arrays |= {
            key: list(dims) for key, dims in {**traced.inputs, **traced.outputs}.items()
        }
        return traced

    def _head(
        self,
        parts: NetworkParts,
        entrance: Entrance,
        depth: int,
        folder: Path,
        said: dict[str, Any],
        known: list[Named],
        sizes: list[tuple[int, int]],
        heads: dict[int, dict[str, Any]],
    ) -> dict[str, Any]:
        """Write the head of this depth unless it is one that is written; return its entry."""
        key = parts.head_key(depth)
        if key not in heads:
            name = "head" if not heads else f"head-{depth}"
            taken = [READOUT, *(entrance.example if parts.head_reads_inputs else ())]
            head = Head(parts, entrance, depth, self.raw)
            traced = self._traced(head, taken, known, sizes, "the head")
            self._save(traced, folder, name, said, depth, self._names(said))
            outputs = list(traced.outputs)
            heads[key] = {"file": f"{name}.{self.formats[0]}", "inputs": taken, "outputs": outputs}
        return heads[key]

    def _save(
        self,
        traced: Traced,
        folder: Path,
        name: str,
        said: dict[str, Any],
        depth: int,
        names: list[str] | None,
    ) -> None:
        metadata = manifest.flat({**said, "depth": depth})
        for kind in self.formats:
            WRITERS[kind](traced, folder / f"{name}.{kind}", metadata, names)


def _keyed(scores: dict[str, dict[int, float]]) -> dict[str, dict[str, float]]:
    return {runtime: {str(k): v for k, v in of.items()} for runtime, of in scores.items()}
