"""Measure cost and score of each depth by format: eager, compiled, ONNX, torch.export, int8."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from autocompress.checks import check_network
from autocompress.deploy.cascade import Arrays
from autocompress.deploy.checking import LOADERS, score_of
from autocompress.deploy.quantising import quantise_dynamic, quantise_weights
from autocompress.deploy.segments import LOGITS, Entrance, Whole, entrance_of
from autocompress.deploy.tracing import passes_of, trace
from autocompress.deploy.writing import WRITERS
from autocompress.errors import AutoCompressError, ConfigError, UnknownNameError
from autocompress.io.exporting import check_onnx, quiet, random_inputs
from autocompress.measurement.timing import Timing, compare, is_noisy, ratio_quartiles
from autocompress.network import Network
from autocompress.printing import as_text, figures
from autocompress.training.inputs import Data
from autocompress.training.objectives import objective_of

__all__ = ["FORMATS", "BenchRow", "Benchmark", "Speedup", "bench"]

#: Function from arrays by name to logits (B, K).
Run = Callable[[Arrays], Any]


@dataclass(frozen=True)
class Speedup:
    """The speed relative to eager full depth, with its uncertainty.

    Attributes:
        median: Median of the rounds' ratios.
        low, high: Their first and last quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, base: Timing, other: Timing) -> Speedup:
        """Return the ratio of two timings of the same rounds.

        Example:
            >>> base, other = Timing((2.0, 4.0, 3.0)), Timing((1.0, 2.0, 1.5))
            >>> str(Speedup.of(base, other))
            '2.00 x (2.00 to 2.00)'
        """
        low, median, high = ratio_quartiles(base, other)
        return cls(median, low, high)

    @property
    def noisy(self) -> bool:
        """Return whether the ratio differs from 1 by less than its own spread, beyond 10 %.

        Example:
            >>> Speedup(1.2, 0.9, 1.5).noisy, Speedup(1.02, 1.0, 1.04).noisy
            (True, False)
        """
        return is_noisy(self.low, self.median, self.high)

    def __str__(self) -> str:
        if self.noisy:
            return f"noisy ({self.low:.2f} to {self.high:.2f})"
        return f"{self.median:.2f} x ({self.low:.2f} to {self.high:.2f})"

    def to_json(self) -> dict[str, Any]:
        """Return the ratio, None if it is noisy, and its quartiles."""
        return {
            "ratio": None if self.noisy else self.median,
            "low": self.low,
            "high": self.high,
            "noisy": self.noisy,
        }


@dataclass
class BenchRow:
    """One depth in one format.

    Attributes:
        depth: Number of layers.
        format: Name of the format.
        bytes: Size of the file.
        score: Score in this runtime; None without data.
        times: Time of a batch, by batch size.
        speedups: Speed against eager full depth, by batch size.
        failure: Reason why there is nothing to measure, with what mends it; empty otherwise.
    """

    depth: int
    format: str
    bytes: int | None = None
    score: float | None = None
    times: dict[int, Timing] = field(default_factory=dict)
    speedups: dict[int, Speedup] = field(default_factory=dict)
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON; times in milliseconds."""
        times = {
            str(size): {
                "p50_ms": timing.median_ms,
                "p90_ms": timing.high_ms,
                "rounds": timing.repeats,
                "speedup": self.speedups[size].to_json(),
            }
            for size, timing in self.times.items()
        }
        return {
            "depth": self.depth,
            "format": self.format,
            "bytes": self.bytes,
            "score": self.score,
            "batch_sizes": times,
            "failure": self.failure or None,
        }


@dataclass(frozen=True)
class Benchmark:
    """The rows of :func:`bench`; prints as a table."""

    rows: tuple[BenchRow, ...]
    metric: str
    examples: int

    def to_json(self) -> dict[str, Any]:
        """Return all rows as JSON."""
        return {
            "metric": self.metric,
            "examples": self.examples,
            "threads": torch.get_num_threads(),
            "rows": [row.to_json() for row in self.rows],
        }

    def __str__(self) -> str:
        sizes = sorted({size for row in self.rows for size in row.times})
        table = Table(title="Depth and format")
        for heading in ("depth", "format", "MB", f"{self.metric} %"):
            table.add_column(heading, justify="left" if heading == "format" else "right")
        for size in sizes:
            table.add_column(f"batch {size}:\np50, p90 ms", justify="right")
            table.add_column("against eager,\nfull depth", justify="right", no_wrap=True)
        for row in self.rows:
            if row.failure:
                continue
            cells = [str(row.depth), row.format, _number(row.bytes, 1e6), _number(row.score, 0.01)]
            for size in sizes:
                timing = row.times.get(size)
                cells.append(
                    ""
                    if timing is None
                    else f"{figures(timing.median_ms)}, {figures(timing.high_ms)}"
                )
                cells.append(str(row.speedups[size]) if size in row.speedups else "")
            table.add_row(*cells)
        failed = [
            f"depth {row.depth}, {row.format}: {row.failure}" for row in self.rows if row.failure
        ]
        return "\n".join([as_text(table, width=128), *failed])  # a line for each format


def _number(value: float | None, unit: float) -> str:
    return "" if value is None else f"{value / unit:.2f}"


def bench(
    net: Network,
    data: Data | None = None,
    *,
    depths: Sequence[int] | None = None,
    formats: Sequence[str] | None = None,
    batch_sizes: Sequence[int] = (1, 256),
    seconds: float = 2.0,
    tell: Callable[[str], object] | None = None,
    seen: Callable[[Benchmark], object] | None = None,
) -> Benchmark:
    """Measure size, score and time of a network at several depths in several formats, on the CPU.

    The formats of a depth are timed in turns, together with eager PyTorch at full depth, so that
    whatever slows the machine slows all of them.

    Args:
        net: The network.
        data: Data to score each row on, in its own runtime; None leaves scores out.
        depths: Depths to cut to; None takes full depth and half of it.
        formats: Some of :data:`FORMATS`; None takes all.
        batch_sizes: Batch sizes to time.
        seconds: Time limit of each comparison.
        tell: Called with a line before each step; compiling a network may take a minute.
        seen: Called after each step with all rows so far, so that an interruption loses none.

    Raises:
        ConfigError: An option has no such value, or the network answers for each token.
        DepthError: A depth is outside the network.
    """
    check_network(net, "bench")
    chosen = list(FORMATS if formats is None else formats)
    for name in chosen:
        if name not in FORMATS:
            raise UnknownNameError("bench format", name, FORMATS)
    if not chosen or not batch_sizes or min(batch_sizes) < 1:
        raise ConfigError("bench needs at least one format, and batch sizes from 1 on")
    if not seconds > 0:
        raise ConfigError(f"seconds {seconds:g} must be above 0: the time limit of a comparison")
    wanted = sorted({max(1, net.depth // 2), net.depth} if depths is None else {*depths})
    for depth in wanted:
        net.check_depth(depth)
    full = net.cut(net.depth).cpu().eval()
    rows: list[BenchRow] = []
    examples = 0 if data is None else len(data)  # type: ignore[arg-type]

    def so_far() -> Benchmark:
        found = Benchmark(tuple(rows), objective_of(net).metric, examples)
        if seen is not None:
            seen(found)
        return found

    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for depth in wanted:
            here = (Path(folder), tell or (lambda line: None), rows, so_far)
            _of_depth(full, depth, chosen, data, batch_sizes, seconds, *here)
    return so_far()


def _of_depth(
    full: Network,
    depth: int,
    formats: Sequence[str],
    data: Data | None,
    batch_sizes: Sequence[int],
    seconds: float,
    folder: Path,
    tell: Callable[[str], object],
    every: list[BenchRow],
    so_far: Callable[[], object],
) -> None:
    """Measure the formats of one depth, and add their rows to ``every``."""
    small = full.cut(depth)
    entrance = entrance_of(small, small.example(2), False)
    rows, runs = [], {}
    for name in formats:
        row = BenchRow(depth, name)
        rows.append(row)
        every.append(row)
        tell(f"depth {depth}, {name}: make it{'' if data is None else ' and score it'}")
        try:
            runs[name], row.bytes = FORMATS[name](small, entrance, folder / f"{depth}-{name}")
            if data is not None:
                one = partial(_alone, runs[name])
                (row.score,) = score_of(small, entrance, data, False, one)
        except Exception as error:  # compilers and runtimes raise what they like
            runs.pop(name, None)
            row.failure = _fix(name, error)
        so_far()
    base = _eager(full, entrance_of(full, full.example(2), False), folder)[0]
    for size in batch_sizes:
        given = _batch(entrance, size)
        again = ", after compiling for them" if "compiled" in runs else ""
        tell(f"depth {depth}: time batches of {size}{again}")
        for row in (one for one in rows if one.format in runs):
            try:  # a compiler compiles again for another size
                runs[row.format](given)
            except Exception as error:
                runs.pop(row.format)
                row.failure = _fix(row.format, error)
        calls = {name: _call(run, given) for name, run in runs.items()}
        timings = compare({"": _call(base, given), **calls}, repeats=30, limit_s=seconds)
        for row in rows:
            if row.format in timings:
                row.times[size] = timings[row.format]
                row.speedups[size] = Speedup.of(timings[""], timings[row.format])
        so_far()


def _alone(run: Run, given: Arrays) -> Iterator[Any]:
    yield run(given)


def _batch(entrance: Entrance, size: int) -> Arrays:
    found: Mapping[str, torch.Tensor] = random_inputs(entrance.example, size)
    return {name: tensor.numpy() for name, tensor in found.items()}


def _call(run: Run, given: Arrays) -> Callable[[], object]:
    return lambda: run(given)


# -- formats ---------------------------------------------------------------------------------------


def _eager(net: Network, entrance: Entrance, path: Path) -> tuple[Run, int]:
    module = Whole(net, entrance, False)

    def run(given: Arrays) -> Any:
        with torch.no_grad():
            return module({k: torch.from_numpy(v) for k, v in given.items()})[LOGITS].numpy()

    return run, _weights(net)


def _weights(net: Network) -> int:
    return sum(tensor.nbytes for tensor in net.state_dict().values())


def _compiled(net: Network, entrance: Entrance, path: Path) -> tuple[Run, int]:
    module = torch.compile(net)

    def run(given: Arrays) -> Any:
        with torch.no_grad():
            named = {k: torch.from_numpy(v) for k, v in given.items()}
            return module(entrance.make(named)).numpy()

    run(_batch(entrance, 2))
    return run, _weights(net)


def _file(kind: str, net: Network, entrance: Entrance, path: Path) -> Path:
    if kind == "onnx":
        check_onnx(net)
    batches, sizes = passes_of(net, entrance)
    file = path.with_suffix(f".{kind}")
    with quiet():
        traced, _ = trace(Whole(net, entrance, False), batches, sizes, "the network")
        WRITERS[kind](traced, file, {}, None)
    return file


def _opened(runtime: str, file: Path) -> Run:
    call = LOADERS[runtime][1](file)
    return lambda given: call(given)[LOGITS]


def _onnx(net: Network, entrance: Entrance, path: Path) -> tuple[Run, int]:
    file = _file("onnx", net, entrance, path)
    return _opened("onnxruntime", file), file.stat().st_size


def _pt2(net: Network, entrance: Entrance, path: Path) -> tuple[Run, int]:
    file = _file("pt2", net, entrance, path)
    return _opened("pt2", file), file.stat().st_size


def _int8(net: Network, entrance: Entrance, path: Path) -> tuple[Run, int]:
    """Quantise weights to int8, and activations as they come, in onnxruntime."""
    return _smaller(quantise_dynamic, net, entrance, path, "int8")


def _int8_weights(net: Network, entrance: Entrance, path: Path) -> tuple[Run, int]:
    """Store weights in int8, and compute in float32."""
    return _smaller(quantise_weights, net, entrance, path, "int8-weights")


def _smaller(
    quantise: Callable[[Path, Path], None], net: Network, entrance: Entrance, path: Path, kind: str
) -> tuple[Run, int]:
    file, small = _file("onnx", net, entrance, path), path.with_suffix(f".{kind}.onnx")
    quantise(file, small)
    return _opened("onnxruntime", small), small.stat().st_size


#: Formats by name: how each is made from a network and a path, and run.
FORMATS: dict[str, Callable[[Network, Entrance, Path], tuple[Run, int]]] = {
    "eager": _eager,
    "compiled": _compiled,
    "onnx": _onnx,
    "pt2": _pt2,
    "int8": _int8,
    "int8-weights": _int8_weights,
}


def _fix(name: str, error: Exception) -> str:
    """Return why a format failed and what mends it, in one line."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if isinstance(error, AutoCompressError):
        return reason
    if name == "compiled":
        return (
            f"{reason}; torch.compile needs a C++ compiler (apt install g++; acn doctor checks it)"
        )
    fixes = {
        "onnx": "pip install -U 'autocompress[onnx]', or ship pt2",
        "int8": "ship onnx: not all operators of this network can be quantised",
        "int8-weights": "ship onnx",
        "pt2": "ship onnx",
        "eager": "acn doctor checks the installation",
    }
    return f"{reason}; {fixes.get(name, 'leave it out of --formats')}"
