"""Run an exported network segment by segment, and stop where its prediction is certain enough.

It needs numpy, onnxruntime and, for texts, tokenizers, but neither torch nor autocompress.

    from cascade import Cascade
    Cascade("exported").predict(pictures)  # bytes (B, H, W, C), or a list of texts

On a command line: python exported/cascade.py pictures.npy --full, or texts and .txt files of them
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Cascade", "CascadeError", "Result"]

#: The file that describes the graphs, its schema, the most bytes of a text file; names of arrays.
MANIFEST, SCHEMA, MOST = "export.json", 1, 2**26
IMAGES, IDS, MASK, LOGITS = "images", "input_ids", "attention_mask", "logits"

Arrays = dict[str, Any]
Graph = Callable[[Arrays], Arrays]


class CascadeError(ValueError):
    """An input, or the exported folder, cannot be used; the message says why."""


class Result(NamedTuple):
    """Logits (B, K) of each example at its exit, and how many layers ran for it, (B,)."""

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

        def graph(said: Mapping[str, Any]) -> tuple[Graph, Sequence[str]]:
            name = said["file"]
            if name not in opened:
                path = self.folder / name
                opened[name] = load(path) if load else _onnx(path, self.manifest, threads)
            return opened[name], said["inputs"]

        said = self.manifest["segments"]
        self.steps = [(one["depth"], graph(one), graph(one["head"])) for one in said]
        self._tokenizer: Any = None

    @property
    def depths(self) -> list[int]:
        """Return the depths at which the network can be read."""
        return [depth for depth, _, _ in self.steps]

    def readouts(self, given: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
        """Yield each depth and its logits (B, K), from one pass."""
        arrays = dict(given)
        for depth, segment, head in self.steps:
            arrays.update(_run(segment, arrays))
            yield depth, _run(head, arrays)[LOGITS]

    def run(self, given: Mapping[str, Any], exits: bool = True) -> Result:
        """Run arrays of :meth:`prepare`; with ``exits``, certain examples leave, others go on."""
        rule, arrays = _Rule(self.manifest["exits"] if exits else None), dict(given)
        left = np.arange(len(next(iter(arrays.values()))))
        depths = np.zeros(len(left), dtype=np.int64)
        logits: Any = None
        last = self.steps[-1][0]
        for depth, segment, head in self.steps:
            arrays.update(_run(segment, arrays))
            if depth != last and depth not in rule.exits:
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
                roles = {name: (self.manifest["arrays"].get(name) or [""])[0] for name in arrays}
                arrays |= {name: arrays[name][stay] for name in arrays if roles[name] == "batch"}
        return Result(logits, depths)

    def prepare(self, inputs: Any) -> Arrays:
        """Return the arrays for pictures or texts; raise CascadeError if one of them does not fit.

        Pictures are bytes (B, H, W, C), (B, H, W), (H, W, C) or a list; texts a string or a list.
        """
        return self._stacked([self._read(*one) for one in enumerate(self._listed(inputs))])

    def _listed(self, inputs: Any) -> list[Any]:
        texts, said = self.manifest["tokenizer"] is not None, self.manifest["preprocess"]
        if not texts and said is None:
            raise CascadeError("neither tokenizer nor preparation is recorded: use run(arrays)")
        one = isinstance(inputs, str)
        if not texts and not one and not isinstance(inputs, (list, tuple)):
            inputs = np.asarray(inputs)
            single = ((*said["size"], said["channels"]), tuple(said["size"]))
            one = inputs.shape in single or inputs.ndim < 3
        if not (several := [inputs] if one else list(inputs)):
            raise CascadeError(f"no {'text' if texts else 'picture'} is given")
        return several

    def _read(self, number: int, one: Any) -> Any:
        """Return a picture as an array of bytes (H, W, C), or the tokens of a text."""
        if self.manifest["tokenizer"] is not None:
            return self._tokens(number, one)
        said = self.manifest["preprocess"]
        wanted, picture = (*said["size"], said["channels"]), np.asarray(one)
        if picture.dtype != np.uint8:
            expected = f"bytes (uint8), 0 to 255, of shape {wanted}"
            raise CascadeError(f"picture {number} is of {picture.dtype}; expected {expected}")
        picture = picture[:, :, None] if picture.ndim == 2 else picture
        if picture.shape == wanted:
            return picture
        expected = f"{wanted} (height, width, channels): resize it first"
        raise CascadeError(f"picture {number} has shape {picture.shape}; expected {expected}")

    def _tokens(self, number: int, text: Any) -> list[int]:
        pairs = bool(self.manifest.get("pairs"))
        parts = (text.split("\t") if pairs else [text]) if isinstance(text, str) else text
        good = isinstance(parts, (tuple, list)) and all(isinstance(one, str) for one in parts)
        if not good or len(parts) != 1 + pairs:
            wanted = "pairs of texts, a tab between the two" if pairs else "texts"
            kind = f"{len(parts)} texts" if good else f"a value of type {type(text).__name__}"
            raise CascadeError(f"text {number} is {kind}; this network takes {wanted}")
        if any("\ud800" <= letter <= "\udfff" for part in parts for letter in part):
            raise CascadeError(f"text {number} is not Unicode text: it holds half a character")
        if self._tokenizer is None:
            from tokenizers import Tokenizer

            said = _read(self.folder / self.manifest["tokenizer"])
            if hashlib.sha256(said).hexdigest() != self.manifest["tokenizer_sha256"]:
                raise CascadeError(f"the tokenizer beside {MANIFEST} belongs to another export")
            self._tokenizer = Tokenizer.from_buffer(said)
            self._tokenizer.no_padding()
        found = self._tokenizer.encode(*parts)
        if not {*range(len(parts))} <= {*found.sequence_ids}:
            raise CascadeError(f"text {number} has no word in it")
        if self.manifest["pad"] in found.ids:
            raise CascadeError(f"text {number} holds the padding token as a word: take it out")
        size, most = len(found.ids), self.manifest["length"]
        if most is not None and size > most:
            raise CascadeError(f"text {number} has {size} tokens; at most {most}: shorten it")
        return list(found.ids)

    def _stacked(self, rows: list[Any]) -> Arrays:
        """Return what was read as the arrays of a batch."""
        said, length = self.manifest["preprocess"], self.manifest["length"]
        if self.manifest["tokenizer"] is not None:
            multiple = self.manifest["multiple"]
            if length is None or self.manifest["open_length"]:
                length = math.ceil(max(map(len, rows)) / multiple) * multiple
            ids = np.full((len(rows), length), self.manifest["pad"], np.int64)
            mask = np.zeros((len(rows), length), np.int64)
            for place, row in enumerate(rows):
                ids[place, : len(row)], mask[place, : len(row)] = row, 1
            return {k: v for k, v in ((IDS, ids), (MASK, mask)) if k in self.manifest["arrays"]}
        pixels = np.stack(rows)
        if self.manifest["raw"]:
            return {IMAGES: pixels}
        unit = np.transpose(pixels, (0, 3, 1, 2)).astype(np.float32) * np.float32(said["scale"])
        mean, std = (np.asarray(said[key], np.float32)[:, None, None] for key in ("mean", "std"))
        return {IMAGES: ((unit - mean) / std).astype(said.get("dtype", "float32"))}

    def predict(self, inputs: Any, top: int = 3, exits: bool = True) -> list[dict[str, Any]]:
        """Return what :meth:`answers` does; raise CascadeError if none can be answered."""
        found = self.answers(inputs, top, exits)
        if all("error" in answer for answer in found):
            raise CascadeError(found[0]["error"])
        return found

    def answers(self, inputs: Any, top: int = 3, exits: bool = True) -> list[dict[str, Any]]:
        """Return an answer for each input; arguments are those of :meth:`prepare` and :meth:`run`.

        Each is a mapping: ``label``, ``probability``, ``top`` (pairs, best first) and ``depth``; of
        a regression ``values`` and ``depth``; of an input that has no answer ``error`` alone.
        """
        read: list[Any] = []
        for pair in enumerate(self._listed(inputs)):
            try:
                read.append(self._read(*pair))
            except CascadeError as error:
                read.append({"error": str(error)})
        rows = [one for one in read if not isinstance(one, dict)]
        if not rows:
            return read
        logits, depths = self.run(self._stacked(rows), exits)
        both = zip(logits, depths.tolist(), strict=True)
        found = ({**self._answer(row, top), "depth": depth} for row, depth in both)
        return [one if isinstance(one, dict) else next(found) for one in read]

    def _answer(self, logits: Any, top: int) -> dict[str, Any]:
        kind, names = self.manifest["objective"], self.manifest["classes"]
        if kind == "regression":
            return {"values": logits.tolist()}
        if len(names) != len(logits):
            raise CascadeError(f"{len(names)} class names for {len(logits)} outputs in {MANIFEST}")
        several = kind == "multi-label"
        shares = 1 / (1 + np.exp(-logits)) if several else softmax(logits)
        best = np.argsort(-shares, kind="stable")[: None if several else top]
        pairs = [(names[n], float(shares[n])) for n in best if not several or shares[n] > 0.5]
        label, share = pairs[0] if pairs else (None, None)
        return {"label": label, "probability": share, "top": pairs}


class _Rule:
    """The calibrated exits, which say who leaves at a depth; None lets nobody leave."""

    def __init__(self, said: Mapping[str, Any] | None) -> None:
        said = {"criterion": "", "exits": []} if said is None else said
        self.criterion: str = said["criterion"]
        self.exits = {row["depth"]: row for row in said["exits"] if row["threshold"] is not None}
        self.memory: Any = None  # classes at the exit before, and for how many they are the same

    def certain(self, depth: int, logits: Any) -> Any:
        """Return which examples are certain enough to leave, (B,)."""
        row, limit = self.exits[depth], self.exits[depth]["threshold"]
        shares = softmax(logits.astype(np.float32) / np.float32(row.get("temperature", 1.0)))
        if self.criterion == "entropy":
            return -(shares * np.log(np.maximum(shares, 1e-38))).sum(-1) < limit
        if self.criterion == "probability":
            return shares.max(-1) > limit
        if self.criterion == "margin":
            return np.diff(np.sort(shares, -1)[:, -2:])[:, 0] > limit
        if self.criterion == "patience":
            now = logits.argmax(-1)
            before, count = (now, np.full_like(now, -1)) if self.memory is None else self.memory
            self.memory = now, np.where(now == before, count + 1, 0)
            return self.memory[1] >= limit
        raise CascadeError(f"the criterion {self.criterion!r} is not known to this file")

    def keep(self, stay: Any) -> None:
        """Forget the examples that have left."""
        if self.memory is not None:
            self.memory = tuple(one[stay] for one in self.memory)


def softmax(logits: Any) -> Any:
    """Return probabilities, (..., K) to (..., K)."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _onnx(path: Path, manifest: Mapping[str, Any], threads: int | None) -> Graph:
    if path.suffix != ".onnx":
        raise CascadeError(f"{path} is not ONNX: export with --format onnx, or give Cascade a load")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a type for each kind of failure
        raise CascadeError(f"{path} cannot be opened: {_line(error)}") from None
    if session.get_modelmeta().custom_metadata_map.get("export") != json.dumps(manifest["export"]):
        raise CascadeError(f"{path} belongs to another export than {MANIFEST} beside it")
    names = [output.name for output in session.get_outputs()]
    taken = {one.name for one in session.get_inputs()}

    def call(given: Arrays) -> Arrays:
        fed = {name: value for name, value in given.items() if name in taken}
        return dict(zip(names, session.run(names, fed), strict=True))

    return call


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _run(graph: tuple[Graph, Sequence[str]], arrays: Arrays) -> Arrays:
    call, names = graph
    if missing := [name for name in names if name not in arrays]:
        raise CascadeError(f"the array {missing[0]!r} is missing; given: {', '.join(arrays)}")
    return call({name: arrays[name] for name in names})


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError:
        raise CascadeError(f"{path} cannot be read: expected a folder of acn export") from None
    if len(data) > MOST:
        raise CascadeError(f"{path} has more than {MOST >> 20} MiB")
    return data


def _manifest(folder: Path) -> dict[str, Any]:
    said: Any = _read(path := folder / MANIFEST)
    try:
        said = json.loads(said)
        if said["schema"] != SCHEMA:
            raise ValueError(f"it is of another schema than {SCHEMA}, which this file reads")
        _check(said)
        return dict(said)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CascadeError(f"{path} cannot be used: {_line(error)}") from None


def _check(said: dict[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError unless what is read is there and can be used."""
    graphs = [one for segment in said["segments"] for one in (segment, segment["head"])]
    files = [one["file"] for one in graphs] + [said["tokenizer"] or MANIFEST]
    if not files[1:] or any(f != Path(f).name or not Path(f).suffix for f in files):
        raise ValueError("it has no graphs, or names files that are not beside it")
    sizes = [said["length"] or 1, said["multiple"], len(said["classes"]), 1 + (said["pad"] or 0)]
    sizes += [row.get("temperature", 1) for row in _Rule(said["exits"]).exits.values()]
    depths = [segment["depth"] for segment in said["segments"]]
    if depths != said["depths"] or not 0 < min(sizes) <= max(sizes) <= 2**24:
        raise ValueError("it has depths or numbers that no network has")
    for key in ("arrays", "objective", "open_length", "pad", "preprocess", "raw"):
        said[key]


def main(words: Sequence[str] | None = None) -> int:
    """Answer what the command line names; print one line of JSON per input."""
    parser = argparse.ArgumentParser(description="Predict with an exported network.")
    parser.add_argument("inputs", nargs="+", help="texts, .txt files, or .npy files of bytes")
    parser.add_argument("--folder", default=str(Path(__file__).parent), help="exported folder")
    parser.add_argument("--full", action="store_true", help="run every example to full depth")
    parser.add_argument("--top", type=int, default=3, help="classes in an answer")
    args = parser.parse_args(words)
    said: list[dict[str, Any]] = []
    try:
        net = Cascade(args.folder)
    except CascadeError as error:
        print(f"cascade: error: {error}", file=sys.stderr)
        return 2
    texts = net.manifest["tokenizer"] is not None
    for word in args.inputs:
        try:
            found = net.answers(_given(word, texts), args.top, not args.full)
        except CascadeError as error:
            found = [{"error": str(error)}]
        said += _named(word, found)
    wrong = sum("error" in answer for answer in said)
    for answer in said:
        text = f"cascade: error: {answer['error']}" if "error" in answer else json.dumps(answer)
        print(text, file=sys.stderr if "error" in answer else sys.stdout)
    return 0 if not wrong else 1 if wrong < len(said) else 2


def _named(word: str, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name the file or text in its errors; one stands for a file of which none has an answer."""
    if all("error" in one for one in answers) and len(answers) > 1:
        answers = [{"error": f"{answers[0]['error']} (none of its {len(answers)} has an answer)"}]
    return [{"error": f"{word}: {one['error']}"} if "error" in one else one for one in answers]


def _given(word: str, texts: bool) -> Any:
    """Return the text that a word is, or the texts or pictures of the file that it names."""
    if texts and not word.endswith(".txt"):
        return [word]
    try:
        with open(word, "rb") as file:
            if texts:
                return list(filter(str.strip, file.read().decode("utf-8-sig").splitlines()))
            return np.lib.format.read_array(file)  # without pickles
    except OSError as error:
        raise CascadeError(error.strerror or str(error)) from None
    except Exception:  # numpy has a type for each way in which a file is none
        kind = "text in UTF-8" if texts else "a .npy file, as numpy.save writes it"
        raise CascadeError(f"it is not {kind}") from None


if __name__ == "__main__":
    sys.exit(main())
