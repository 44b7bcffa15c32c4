"""Run an exported network segment by segment, and stop where its prediction is certain enough.

This file stands alone: it needs numpy, onnxruntime and, for texts, tokenizers. It neither needs nor
imports torch or autocompress, which wrote it beside the graphs of the network.

    from cascade import Cascade

    net = Cascade("exported")
    net.predict(pictures)  # an array of bytes (B, H, W, C), or a list of texts
    net.predict(pictures, exits=False)  # every example through all segments

On a command line, pictures are .npy files and texts are texts:

    python exported/cascade.py pictures.npy --full
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Cascade", "CascadeError", "Result"]

#: The file that describes the graphs, and the schema that this file reads.
MANIFEST, SCHEMA = "export.json", 1

#: Names of arrays.
IMAGES, IDS, MASK = "images", "input_ids", "attention_mask"
READOUT, LOGITS = "readout", "logits"

Arrays = dict[str, Any]
Graph = Callable[[Arrays], Arrays]


class CascadeError(ValueError):
    """An input, or the exported folder, cannot be used; the message says why."""


class Result(NamedTuple):
    """The outcome of a pass.

    Attributes:
        logits: Logits (B, K), those of each example at its exit.
        depths: Number of layers that ran for each example, (B,).
    """

    logits: Any
    depths: Any


class Cascade:
    """An exported network.

    Args:
        folder: The folder with export.json.
        load: Function that opens a graph; None uses onnxruntime on the CPU.
        threads: Threads of onnxruntime; None lets it choose.

    Raises:
        CascadeError: The folder holds no export, or a graph of another one.
    """

    def __init__(
        self,
        folder: str | Path = ".",
        load: Callable[[Path], Graph] | None = None,
        threads: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.manifest = _manifest(self.folder)
        opened: dict[str, Graph] = {}

        def graph(name: str) -> Graph:
            if name not in opened:
                path = self.folder / Path(name).name
                opened[name] = (load or self._onnx(threads))(path)
            return opened[name]

        self.steps = [
            (
                int(segment["depth"]),
                (graph(segment["file"]), segment["inputs"]),
                (graph(segment["head"]["file"]), segment["head"]["inputs"]),
            )
            for segment in self.manifest["segments"]
        ]
        self._tokenizer: Any = None

    def _onnx(self, threads: int | None) -> Callable[[Path], Graph]:
        def load(path: Path) -> Graph:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            if threads is not None:
                options.intra_op_num_threads = threads
            try:
                session = onnxruntime.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # onnxruntime has a type for each kind of failure
                raise CascadeError(f"{path} cannot be opened: {_first_line(error)}") from None
            said = session.get_modelmeta().custom_metadata_map.get("export", "null")
            if json.loads(said) != self.manifest["export"]:
                raise CascadeError(
                    f"{path} belongs to another export than {MANIFEST} beside it: keep the files "
                    "of one export together"
                )
            names = [output.name for output in session.get_outputs()]
            taken = {one.name for one in session.get_inputs()}

            def call(given: Arrays) -> Arrays:
                fed = {name: value for name, value in given.items() if name in taken}
                return dict(zip(names, session.run(names, fed), strict=True))

            return call

        return load

    @property
    def depths(self) -> list[int]:
        """Return the depths at which the network can be read."""
        return [depth for depth, _, _ in self.steps]

    def readouts(self, given: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
        """Yield each depth and its logits (B, K), lazily and from one pass."""
        arrays = dict(given)
        for depth, segment, head in self.steps:
            arrays.update(_run(segment, arrays))
            yield depth, _run(head, arrays)[LOGITS]

    def run(self, given: Mapping[str, Any], exits: bool = True) -> Result:
        """Run prepared arrays; examples that are certain enough leave, the others go on.

        Args:
            given: Arrays as :meth:`prepare` returns them.
            exits: Whether examples may leave before the last depth.
        """
        rule = _Rule(self.manifest["exits"] if exits else None)
        arrays = dict(given)
        left = np.arange(len(next(iter(arrays.values()))))
        depths = np.zeros(len(left), dtype=np.int64)
        logits: Any = None
        last = self.steps[-1][0]
        for depth, segment, head in self.steps:
            arrays.update(_run(segment, arrays))
            if depth != last and not rule.reads(depth):
                continue
            seen = _run(head, arrays)[LOGITS]
            if logits is None:
                logits = np.empty((len(depths), *seen.shape[1:]), seen.dtype)
            done = np.ones(len(left), bool) if depth == last else rule.certain(depth, seen)
            logits[left[done]], depths[left[done]] = seen[done], depth
            if done.all():
                break
            if done.any():
                left, stay = left[~done], ~done
                rule.keep(stay)
                arrays = {name: self._rows(name, value, stay) for name, value in arrays.items()}
        return Result(logits, depths)

    def _rows(self, name: str, value: Any, stay: Any) -> Any:
        """Return the rows of an array that stay, if it has a row for each example."""
        roles = self.manifest["arrays"].get(name, ())
        return value[stay] if roles and roles[0] == "batch" else value

    def prepare(self, inputs: Any) -> Arrays:
        """Return the arrays for pictures or texts.

        Args:
            inputs: For pictures an array of bytes (B, H, W, C), (B, H, W) or (H, W, C), or a list
                of such (H, W, C) or (H, W); for texts a string, or a list of strings or pairs.

        Raises:
            CascadeError: They are of another kind, or of another size than the network takes.
        """
        if self.manifest["tokenizer"] is not None:
            return self._texts(inputs)
        if self.manifest["preprocess"] is None:
            raise CascadeError(
                "this network records neither a tokenizer nor how pictures are prepared: call "
                "run() with arrays as it takes them"
            )
        return {IMAGES: self._pictures(inputs)}

    def _pictures(self, inputs: Any) -> Any:
        said = self.manifest["preprocess"]
        height, width = said["size"]
        wanted = (height, width, said["channels"])
        several = list(inputs) if isinstance(inputs, (list, tuple)) else None
        array = np.asarray(inputs) if several is None else None
        if array is not None:
            single = array.shape in (wanted, wanted[:2])
            several = [array] if single or array.ndim < 3 else list(array)
        if not several:
            raise CascadeError("no picture is given")
        found = []
        for number, picture in enumerate(several):
            picture = np.asarray(picture)
            if picture.dtype != np.uint8:
                raise CascadeError(
                    f"picture {number} is an array of {picture.dtype}; expected bytes (uint8), "
                    f"0 to 255, of shape {wanted}"
                )
            picture = picture[:, :, None] if picture.ndim == 2 else picture
            if picture.shape != wanted:
                raise CascadeError(
                    f"picture {number} has shape {picture.shape}; expected {wanted} "
                    "(height, width, channels): resize it first"
                )
            found.append(picture)
        pixels = np.stack(found)
        if self.manifest["raw"]:
            return pixels
        unit = np.transpose(pixels, (0, 3, 1, 2)).astype(np.float32) * np.float32(said["scale"])
        mean, std = (np.asarray(said[key], np.float32)[:, None, None] for key in ("mean", "std"))
        return (unit - mean) / std

    def _texts(self, inputs: Any) -> Arrays:
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        if not texts:
            raise CascadeError("no text is given")
        for number, text in enumerate(texts):
            pair = isinstance(text, (tuple, list)) and [*map(type, text)] == [str, str]
            if not isinstance(text, str) and not pair:
                raise CascadeError(
                    f"text {number} is a value of type {type(text).__name__}; this network takes "
                    "texts"
                )
        if self._tokenizer is None:
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(self.folder / self.manifest["tokenizer"]))
            self._tokenizer.no_padding()
        rows = [one.ids for one in self._tokenizer.encode_batch([*map(_as_text, texts)])]
        return self._padded(rows)

    def _padded(self, rows: list[list[int]]) -> Arrays:
        pad, multiple = self.manifest["pad"], self.manifest["multiple"]
        for number, row in enumerate(rows):
            if not row:
                raise CascadeError(f"text {number} has no word in it")
        length = math.ceil(max(map(len, rows)) / multiple) * multiple
        most = self.manifest["length"]
        if most is not None:
            if length > most:
                raise CascadeError(
                    f"a text has {length} tokens and the network takes {most}: shorten it"
                )
            if not self.manifest["open_length"]:
                length = most
        ids = np.full((len(rows), length), pad, np.int64)
        mask = np.zeros((len(rows), length), np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)], mask[place, : len(row)] = row, 1
        both = {IDS: ids, MASK: mask}
        return {name: both[name] for name in both if name in self.manifest["arrays"]}

    def predict(self, inputs: Any, top: int = 3, exits: bool = True) -> list[dict[str, Any]]:
        """Return an answer for each input.

        Arguments are those of :meth:`prepare` and :meth:`run`; ``top`` classes are shown.

        Returns:
            One mapping per input: ``label``, ``probability``, ``top`` (pairs of name and
            probability, best first) and ``depth``; of a regression ``values`` and ``depth``.
        """
        result = self.run(self.prepare(inputs), exits)
        rows = zip(result.logits, result.depths.tolist(), strict=True)
        return [{**self._answer(logits, top), "depth": depth} for logits, depth in rows]

    def _answer(self, logits: Any, top: int) -> dict[str, Any]:
        kind, names = self.manifest["objective"], self.manifest["classes"]
        if kind == "regression":
            return {"values": logits.tolist()}
        several = kind == "multi-label"
        shares = 1 / (1 + np.exp(-logits)) if several else softmax(logits)
        best = np.argsort(-shares, kind="stable")
        count = len(shares) if several else top
        pairs = [(names[n], float(shares[n])) for n in best[:count]]
        if several:
            pairs = [pair for pair in pairs if pair[1] > 0.5]
        label, share = pairs[0] if pairs else (None, None)
        return {"label": label, "probability": share, "top": pairs}


class _Rule:
    """The calibrated exits: who leaves at a depth.

    Args:
        said: ``criterion`` and ``exits`` of exits.json; None lets nobody leave.
    """

    def __init__(self, said: Mapping[str, Any] | None) -> None:
        self.criterion = "" if said is None else said["criterion"]
        rows = [] if said is None else said["exits"]
        self.exits = {row["depth"]: row for row in rows if row["threshold"] is not None}
        self.before: Any = None
        self.count: Any = None

    def reads(self, depth: int) -> bool:
        """Return whether examples may leave at this depth."""
        return depth in self.exits

    def certain(self, depth: int, logits: Any) -> Any:
        """Return which examples are certain enough to leave, (B,)."""
        row = self.exits[depth]
        limit = row["threshold"]
        shares = softmax(logits.astype(np.float32) / np.float32(row.get("temperature", 1.0)))
        if self.criterion == "entropy":
            return -(shares * np.log(np.maximum(shares, 1e-38))).sum(-1) < limit
        if self.criterion == "probability":
            return shares.max(-1) > limit
        if self.criterion == "margin":
            best = np.sort(shares, -1)
            return best[:, -1] - best[:, -2] > limit
        if self.criterion == "patience":
            now = logits.argmax(-1)
            again = np.zeros_like(now) if self.before is None else self.count + 1
            self.count = again if self.before is None else np.where(now == self.before, again, 0)
            self.before = now
            return self.count >= limit
        raise CascadeError(f"the criterion {self.criterion!r} is not known to this file")

    def keep(self, stay: Any) -> None:
        """Forget the examples that have left."""
        if self.before is not None:
            self.before, self.count = self.before[stay], self.count[stay]


def softmax(logits: Any) -> Any:
    """Return probabilities, (..., K) to (..., K)."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _run(graph: tuple[Graph, Sequence[str]], arrays: Arrays) -> Arrays:
    call, names = graph
    missing = [name for name in names if name not in arrays]
    if missing:
        raise CascadeError(f"the array {missing[0]!r} is missing; given: {', '.join(arrays)}")
    return call({name: arrays[name] for name in names})


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise CascadeError(f"{path} cannot be read: expected a folder of acn export") from None
    except ValueError as error:
        raise CascadeError(f"{path} is damaged: {_first_line(error)}") from None
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        raise CascadeError(f"{path} is of another schema than {SCHEMA}, which this file reads")
    return said


def _as_text(text: Any) -> Any:
    return text if isinstance(text, str) else tuple(text)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def main(words: Sequence[str] | None = None) -> int:
    """Answer what the command line names; print one line of JSON per input."""
    parser = argparse.ArgumentParser(description="Predict with an exported network.")
    parser.add_argument("inputs", nargs="+", help="texts, or .npy files of pictures (bytes)")
    parser.add_argument("--folder", default=str(Path(__file__).parent), help="exported folder")
    parser.add_argument("--full", action="store_true", help="run every example to full depth")
    parser.add_argument("--top", type=int, default=3, help="classes in an answer")
    args = parser.parse_args(words)
    try:
        net = Cascade(args.folder)
        texts = net.manifest["tokenizer"] is not None
        for batch in [args.inputs] if texts else map(_array, args.inputs):
            for answer in net.predict(batch, args.top, not args.full):
                print(json.dumps(answer))
    except CascadeError as error:
        print(f"cascade: error: {error}", file=sys.stderr)
        return 2
    return 0


def _array(path: str) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise CascadeError(f"{path} is no .npy file of pictures, as numpy.save writes it") from None


if __name__ == "__main__":
    sys.exit(main())
