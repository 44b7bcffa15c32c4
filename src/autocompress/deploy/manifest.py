"""export.json: what an exported network takes and answers, for programs that read it without us."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from autocompress.conversion import Converted
from autocompress.conversion.texts import positions_of
from autocompress.data import ImageInput, Tokenizer
from autocompress.data.tokenizer import widths
from autocompress.depth.exit_rule import Exit, ExitRule
from autocompress.errors import ConfigError
from autocompress.io.header import text_sha256
from autocompress.network import Network
from autocompress.predict.preparing import recorded_preprocess
from autocompress.training.objectives import MultiLabel, Regression, objective_of
from autocompress.version import __version__

__all__ = ["MANIFEST", "TOKENIZER", "class_names", "described", "exits_at", "flat", "identity"]

MANIFEST, TOKENIZER = "export.json", "tokenizer.json"
SCHEMA = 1


def identity(net: Network, depths: Sequence[int], raw: bool) -> str:
    """Return a hash of the weights and of how they were exported, which marks the files."""
    found = hashlib.sha256(f"{list(depths)} {raw} {net.preprocess}".encode())
    for name, tensor in net.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


def class_names(net: Network, outputs: int) -> list[str]:
    """Return the names of the outputs: the recorded class names, else their numbers.

    Raises:
        ConfigError: There are more or fewer names than outputs.
    """
    names = net.class_names
    if names is None:
        return [str(number) for number in range(outputs)]
    if len(names) != outputs:
        raise ConfigError(
            f"{len(names)} class names are recorded, and the network has {outputs} outputs: set "
            "net.class_names"
        )
    return list(names)


def described(net: Network, outputs: int, raw: bool, source: str | None) -> dict[str, Any]:
    """Return what export.json says of the network, whatever its depths.

    Args:
        net: The network.
        outputs: Number of outputs K.
        raw: Whether the preparation of pictures is part of the graph.
        source: Name of the run or folder that the network comes from.
    """
    objective = objective_of(net)
    kinds = {MultiLabel: "multi-label", Regression: "regression"}
    return {
        "schema": SCHEMA,
        "library": "autocompress",
        "version": __version__,
        "source": source,
        "task": net.task,
        "objective": kinds.get(type(objective), "classification"),
        "metric": objective.metric,
        "classes": class_names(net, outputs),
        "raw": raw,
        "preprocess": _pictures(net),
        **_texts(net),
    }


def _pictures(net: Network) -> dict[str, Any] | None:
    """Return how pictures are prepared; None for other inputs, or if nothing records it."""
    said = recorded_preprocess(net) or {}
    if net.tokenizer is not None or not ("mean" in said or "size" in said):
        return None
    known = ImageInput.of(said)
    channels, size = known.channels, known.size
    if channels is None or size is None:
        shape = net.example(1).shape
        channels, size = int(shape[1]), (int(shape[2]), int(shape[3]))
    return {
        "scale": known.scale,
        "mean": list(known.mean),
        "std": list(known.std),
        "size": list(size),
        "channels": channels,
        "resize": known.resize,
        "interpolation": known.interpolation,
        "crop": known.crop,
        "fit": known.fit,
    }


def _texts(net: Network) -> dict[str, Any]:
    """Return how texts become tokens; None throughout for other inputs."""
    if net.tokenizer is None:
        nothing = dict.fromkeys(("tokenizer", "tokenizer_sha256", "pad", "length"), None)
        return nothing | {"multiple": 1, "pairs": False}
    tokenizer = Tokenizer(net.tokenizer, "of this network")
    rows = net.config.get("length")
    if rows is None and isinstance(net, Converted):
        rows = positions_of(str(net.config.get("source", "")), net.config.get("arguments") or {})
    known = [int(size) for size in (tokenizer.longest, rows) if size is not None]
    length = min(known) if known else None
    return {
        "tokenizer": TOKENIZER,
        "tokenizer_sha256": text_sha256(net.tokenizer),
        "pad": tokenizer.need("pad")["pad"],
        "length": length,
        "multiple": 1 if length is None else widths(length),
        "pairs": (net.preprocess or {}).get("texts", 1) == 2,
    }


def exits_at(rule: ExitRule | None, depths: Sequence[int]) -> dict[str, Any] | None:
    """Return the exits of a rule at the exported depths, as in exits.json.

    Args:
        rule: The calibrated rule; None if there is none.
        depths: The exported depths, in order.

    Raises:
        ConfigError: The rule counts exits in a row, and some of its depths are not exported.
    """
    if rule is None:
        return None
    inner = [one for one in rule.exits if one.depth in depths[:-1] and one.threshold is not None]
    missing = sorted({*rule.depths} - {*depths})
    if missing and rule.measure.remembers:
        raise ConfigError(
            f"exits by {rule.criterion} were calibrated at depths {rule.depths}, and depths "
            f"{missing} are not exported: export them, or calibrate again with --depths"
        )
    last = Exit(depths[-1], None)
    return ExitRule(rule.criterion, (*inner, last)).to_json()


def flat(said: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of each file: one key per value, as ``metadata_props`` has them.

    Example:
        >>> flat({"version": "1", "raw": True, "preprocess": {"mean": [0.5]}, "arrays": {}})
        {'version': '1', 'raw': True, 'mean': [0.5]}
    """
    kept = ("export", "library", "version", "source", "task", "objective", "classes", "raw")
    found = {key: said[key] for key in (*kept, "tokenizer", "depth") if key in said}
    return found | dict(said.get("preprocess") or {})
