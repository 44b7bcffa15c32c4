"""report.json, schema 2: its types, and the check that a file conforms to them.

Reports of schema 1 are read as well; they lack what :mod:`autocompress.report.explored` adds.

Scores are fractions, not per cent; every key is present, with null where nothing was measured. The
``TypedDict`` classes are the schema: :func:`validate` reads their annotations, so that the types
that mypy checks and those that a file is checked for cannot differ.
"""

from __future__ import annotations

import math
import os
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict, Union, cast, get_args, get_origin, get_type_hints

from autocompress.errors import CheckpointError, ConfigError, UnknownNameError
from autocompress.io.header import read_json
from autocompress.io.seal import check_seal
from autocompress.report.explored import (
    Amount,
    Classes,
    Count,
    DepthPoint,
    DepthScore,
    Example,
    Fraction,
    Latency,
    Score,
    Spread,
    faults,
    time_faults,
)

__all__ = [
    "R_SQUARED",
    "BaselineScores",
    "DepthPoint",
    "DepthScore",
    "Measured",
    "Report",
    "TaskPart",
    "load_report",
    "shallow_origin",
    "validate",
]

SCHEMA = 2
#: The metric of a network that predicts numbers.
R_SQUARED = "R^2"
#: Schemas that this version reads.
_READ = (1, 2)


class TaskRecord(TypedDict):
    """The data: number of examples by split, and the meaning of a score."""

    dataset: str
    metric: str
    train: Count
    validation: Count
    test: Count


class Start(TypedDict, total=False):
    """The weights from which all networks of the run started; absent if from scratch."""

    init: str | None


class Model(Start):
    """The trained model; ``connectivity`` is a name, or a mapping with its options."""

    name: str
    connectivity: str | dict[str, Any]
    depth: Count


class Sparse(TypedDict, total=False):
    """The share of zeros in the blocks' matrices, absent if nothing was pruned; spreads of times.

    ``latency_ratio`` has the quartiles and the median of the rounds' ratios to the full network.
    """

    sparsity: Fraction | None
    latency_spread_ms: Spread
    latency_ratio: Spread


class Measured(DepthScore, Sparse):
    """One network of the before/after table."""

    bytes: Count | None
    latency_ms: Latency
    peak_memory_bytes: Count | None


class BaselineScores(Measured):
    """The residual baseline, with its own depths and the depth that the same rule chose for it."""

    depths: list[DepthPoint]
    selected: Count


class Checks(TypedDict):
    """The largest differences found; 0.0 means equal bit for bit."""

    small_vs_probe_max_abs_difference: Amount | None
    onnx_max_abs_difference: Amount | None


class Doubtful(TypedDict, total=False):
    """Reasons to distrust the result, as sentences; absent in earlier reports.

    ``constant`` is the validation score of the best answer that ignores the input, ``late_gain``
    what the last quarter of the network's epochs added to its best validation score; 0 if nothing,
    null for fewer than four epochs.
    """

    warnings: list[str]
    constant: Score | None
    late_gain: Amount | None


class _Compared(TypedDict, total=False):
    """The depth that the same rule keeps of the residual baseline; absent if there is none."""

    control_kept: Count | None


class TaskPart(_Compared):
    """A part of a task whose required depth is known from theory.

    ``theory`` and ``kept`` are numbers of layers; ``kept`` is null if full depth has not
    learned the part. ``validation`` has the scores at depths 0..L.
    """

    name: str
    theory: Count
    kept: Count | None
    validation: list[Score]


class Ruler(TypedDict, total=False):
    """The parts of a task; absent if its required depth is unknown."""

    parts: list[TaskPart]


class Explored(TypedDict, total=False):
    """The additions of schema 2 on the test data; null where the answers are not classes."""

    classes: Classes | None
    examples: list[Example]


class Report(Doubtful, Ruler, Explored):
    """The whole of report.json."""

    schema: int
    task: TaskRecord
    model: Model
    depths: list[DepthPoint]
    rule: str
    selected: Count
    full: Measured
    small: Measured
    baseline: BaselineScores | None
    shallow: Measured | None
    checks: Checks
    seed: int | None
    seconds: dict[str, Amount | None]
    environment: dict[str, Any]


def shallow_origin(report: Report) -> str:
    """Return the shallow rival's origin: new weights, or the same start as the network's."""
    return "from scratch" if report["model"].get("init") is None else "cut before training"


def load_report(path: str | os.PathLike[str]) -> Report:
    """Read and check a report.json.

    Raises:
        CheckpointError: The file is missing, not a regular file, not JSON, or was altered after
            its run was finished.
        ConfigError: The file is JSON but no report of a schema that this version reads; the message
            names the key.
    """
    path = Path(path)
    check_seal(path)
    try:
        report = read_json(path)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}); "
            "`acn compress` writes it at the end of a run, so give the folder of a finished one"
        ) from error
    try:
        validate(report)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return cast(Report, report)


def validate(report: Mapping[str, Any]) -> None:
    """Check that ``report`` is a report.json of schema 2, or of schema 1.

    Raises:
        ConfigError: A key is missing or has an invalid value, or depths do not fit together; the
            message names the key.
        UnknownNameError: The schema does not have a key; the message names it.

    Example:
        >>> validate({"schema": 3})
        Traceback (most recent call last):
        autocompress.errors.ConfigError: schema is 3; this version reads schemas 1 and 2
    """
    if not isinstance(report, Mapping):
        raise ConfigError(f"a report is a JSON object, not {_shown(report)}")
    number = report.get("schema", SCHEMA)
    if type(number) is int and number not in _READ:
        raise ConfigError(f"schema is {number}; this version reads schemas 1 and {SCHEMA}")
    _check(report, Report, "")
    _check_scores(cast(Report, report))
    _check_depths(cast(Report, report))


def _check(value: Any, kind: Any, key: str) -> None:
    """Check ``value`` against a type annotation; ``key`` is its path, for the message."""
    origin = get_origin(kind)
    if kind is Any:
        return
    if isinstance(kind, type) and hasattr(kind, "__required_keys__"):
        _check_object(value, kind, key)
    elif origin in (Union, types.UnionType):
        _check_union(value, get_args(kind), key)
    elif origin is list:
        _expect(isinstance(value, list), value, key, "a list")
        for index, item in enumerate(value):
            _check(item, get_args(kind)[0], f"{key}[{index}]")
    elif origin is dict:
        _expect(isinstance(value, Mapping), value, key, "an object")
        for name, item in value.items():
            _check(item, get_args(kind)[1], _join(key, name))
    elif origin is Annotated:
        _check_number(value, kind, key)
    else:
        fits = isinstance(value, kind) and not isinstance(value, bool)
        _expect(fits, value, key, {str: "a text", int: "a whole number"}[kind])


def _check_object(value: Any, kind: type, key: str) -> None:
    _expect(isinstance(value, Mapping), value, key, "an object")
    hints = get_type_hints(kind, include_extras=True)
    optional: frozenset[str] = getattr(kind, "__optional_keys__", frozenset())
    for name in value:
        if name not in hints:
            raise UnknownNameError("key", _join(key, name), [_join(key, known) for known in hints])
    for name, hint in hints.items():
        if name not in value:
            if name in optional:
                continue
            raise ConfigError(
                f"{_join(key, name)} is missing; all keys are present, null where not measured"
            )
        _check(value[name], hint, _join(key, name))


def _check_union(value: Any, kinds: tuple[Any, ...], key: str) -> None:
    if value is None and type(None) in kinds:
        return
    rest = [kind for kind in kinds if kind is not type(None)]
    if len(rest) == 1:
        _check(value, rest[0], key)
    else:  # connectivity: its name, or a mapping with its options
        _expect(isinstance(value, str | Mapping), value, key, "a text or an object")


def _check_number(value: Any, kind: Any, key: str) -> None:
    whole, words = get_args(kind)[0] is int, get_args(kind)[1]
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    fits = number and math.isfinite(value) and (value >= 0 or kind is Score)
    _expect(fits and (kind not in (Fraction, Score) or value <= 1), value, key, words)


def _check_scores(report: Report) -> None:
    """Check that no score is below 0, unless it is R^2, which is so for a bad network."""
    if report["task"]["metric"] == R_SQUARED:
        return
    control = report["baseline"]
    named: list[tuple[str, Any]] = [("", {"constant": report.get("constant")})]
    named += [(key, report.get(key)) for key in ("full", "small", "baseline", "shallow")]
    named += [(f"depths[{k}]", point) for k, point in enumerate(report["depths"])]
    if control is not None:
        named += [(f"baseline.depths[{k}]", point) for k, point in enumerate(control["depths"])]
    named += [(f"parts[{k}]", part) for k, part in enumerate(report.get("parts", []))]
    for name, network in named:
        for key in ("validation", "test", "interval", "validation_interval", "constant"):
            found = (network or {}).get(key)
            for value in found if isinstance(found, list) else [found]:
                below = value is not None and value < 0
                _expect(not below, value, _join(name, key), get_args(Fraction)[1])


def _check_depths(report: Report) -> None:
    """Check that the depths are 0..L in order, and that the networks' depths are among them."""
    deepest = report["model"]["depth"]
    _check_curve(report["depths"], deepest, "depths")
    for index, part in enumerate(report.get("parts", [])):
        count = len(part["validation"]) - 1
        _expect(count == deepest, count, f"parts[{index}].validation", f"depths 0..{deepest}")
    _check_in_range(report["selected"], deepest, "selected")
    for name, network, depth in (
        ("full.depth", report["full"], deepest),
        ("small.depth", report["small"], report["selected"]),
    ):
        _expect(network["depth"] == depth, network["depth"], name, str(depth))
    known = report["depths"], report.get("classes"), report.get("examples", [])
    for key, value, expected in faults(deepest + 1, *known):
        _expect(False, value, key, expected)
    for name in ("full", "small", "baseline", "shallow"):
        for key, value, expected in time_faults(name, cast(Any, report)[name] or {}):
            _expect(False, value, key, expected)
    if report["baseline"] is not None:
        control = report["baseline"]
        _check_curve(control["depths"], control["depth"], "baseline.depths")
        _check_in_range(control["selected"], control["depth"], "baseline.selected")


def _check_curve(curve: Sequence[DepthScore], deepest: int, key: str) -> None:
    depths = [point["depth"] for point in curve]
    if depths != list(range(deepest + 1)):
        raise ConfigError(f"{key} has depths {_shown(depths)}; expected 0..{deepest} in order")


def _check_in_range(depth: int, deepest: int, key: str) -> None:
    _expect(depth <= deepest, depth, key, f"a depth of 0..{deepest}")


def _expect(fits: bool, value: Any, key: str, expected: str) -> None:
    if not fits:
        raise ConfigError(f"{key} is {_shown(value)}; expected {expected}")


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else str(name)
