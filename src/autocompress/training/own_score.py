"""Score every depth with a user's function, for outputs that are not classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from autocompress.checks import takes
from autocompress.errors import ConfigError, DataError
from autocompress.measurement.modes import evaluating
from autocompress.network import Network
from autocompress.training.inputs import Data, network_batches

__all__ = ["OwnScore", "name_of", "own_scores"]

#: ``score(outputs, labels)`` or ``score(outputs, labels, inputs)``: one number per example.
OwnScore = Callable[..., Any]


def name_of(score: OwnScore) -> str:
    """Return the name of the score in tables."""
    return getattr(score, "__name__", type(score).__name__).replace("<lambda>", "score")


def own_scores(
    net: Network,
    data: Data,
    score: OwnScore,
    read: Callable[[Network, Any], Iterator[Tensor]],
    batch_size: int = 256,
) -> Tensor:
    """Return the score of every example at every depth, float64 (examples, L + 1).

    Args:
        net: The network, evaluated in eval mode.
        data: The data; see :data:`autocompress.training.inputs.Data`.
        score: The function (:data:`OwnScore`); labels and inputs are as the data yield them, on the
            network's device.
        read: Function that yields the outputs of every depth for one batch.
        batch_size: Examples per pass.

    Raises:
        ConfigError: ``score`` is not a function of two or three arguments.
        DataError: ``score`` does not return one finite number per example, or the data are empty.
    """
    more = _takes_inputs(score)
    found: list[Tensor] = []
    with evaluating(net):
        for inputs, labels in network_batches(net, data, batch_size, "probed"):
            rows = _rows(inputs)
            with takes(net, inputs):
                outputs = read(net, inputs)
                first = next(outputs)
            worth = []
            for out in chain([first], outputs):
                given = score(out, labels, inputs) if more else score(out, labels)
                worth.append(_checked(given, rows, score))
            found.append(torch.stack(worth, 1))
    if not found:
        raise DataError("the probed data are empty; at least one example is needed")
    return torch.cat(found)


def _rows(inputs: Any) -> int:
    return len(inputs) if isinstance(inputs, Tensor) else len(next(iter(inputs.values())))


def _takes_inputs(score: OwnScore) -> bool:
    """Return whether ``score`` has a third argument without a default."""
    if not callable(score):
        raise ConfigError(
            f"score {score!r:.80} is not a function: score(outputs, labels) returns one number per "
            "example"
        )
    try:
        signature = inspect.signature(score)
    except (TypeError, ValueError):  # a compiled function has no signature
        return False
    for count in (2, 3):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count == 3
    raise ConfigError(
        f"the score function {name_of(score)}{signature} is called as score(outputs, labels) or "
        "score(outputs, labels, inputs)"
    )


def _checked(given: Any, rows: int, score: OwnScore) -> Tensor:
    name = f"the score function {name_of(score)}"
    try:
        worth = torch.as_tensor(given).detach().double().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} returns a {type(given).__name__}, not numbers") from error
    if worth.shape != (rows,):
        raise DataError(
            f"{name} returns shape {tuple(worth.shape)} for a batch of {rows} examples; it "
            f"has to return one number for each, ({rows},)"
        )
    if not bool(torch.isfinite(worth).all()):
        raise DataError(f"{name} returns NaN or infinity for some examples")
    return worth
