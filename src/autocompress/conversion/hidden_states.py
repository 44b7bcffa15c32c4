"""Hidden states that a host shows: the output of each layer, or the readout of each depth.

A host of transformers collects what its layers return. In a residual network that is also what the
head reads at each depth; with long connections the two differ. Which one ``hidden_states`` holds is
a word of the config, ``hidden_states_are``: ``"layers"`` (the default) or ``"readouts"``.

Hosts that collect the weights of attention in their own loop over the layers, where a trunk has not
run yet, get them from the branches (:func:`attended`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from autocompress.conversion.deferred import Call, Deferred
from autocompress.errors import UnknownNameError
from autocompress.trunk import Trunk

__all__ = [
    "KINDS",
    "Notes",
    "attended",
    "check_kind",
    "keep_marks",
    "noting",
    "recorded_layers",
    "run_noted",
    "shown_states",
]

KINDS = ("layers", "readouts")


class Note(NamedTuple):
    """The results of one pass of a trunk, each of depth 0, 1, ..

    Attributes:
        layers: x_0, and the output of every layer.
        readouts: Tensors that the head would read.
    """

    layers: list[Tensor]
    readouts: list[Tensor]


class Notes(NamedTuple):
    """The notes of one call of a host.

    Attributes:
        passes: One for each trunk.
        weights: Weights of attention, by layer, as far as branches note them.
    """

    passes: list[Note]
    weights: list[Tensor | None]


#: Where trunks note their passes; None outside :func:`noting`.
_NOTES: ContextVar[Notes | None] = ContextVar("notes", default=None)


def check_kind(kind: str) -> str:
    """Return ``kind``, or raise UnknownNameError."""
    if kind not in KINDS:
        raise UnknownNameError("kind of hidden states", kind, KINDS)
    return kind


@contextmanager
def noting() -> Iterator[Notes]:
    """Let trunks note what they compute; the lists are filled inside the context."""
    notes = Notes([], [])
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)


def run_noted(
    trunk: Trunk,
    x: Tensor,
    calls: Sequence[Call],
    depth: int | None = None,
    mediated: float = 1.0,
) -> Tensor:
    """Run the first ``depth`` layers, and note what they compute if somebody wants to know."""
    notes = None if torch.compiler.is_compiling() else _NOTES.get()
    if notes is None:
        return Trunk.forward(trunk, x, depth, mediated, calls=calls)
    layers, readouts = [x], []
    for state in recorded_layers(trunk, layers).states(x, depth, mediated, calls=calls):
        readouts.append(trunk.connectivity.readout(state))
    notes.passes.append(Note(layers, readouts))
    return readouts[-1]


def attended(out: Sequence[Any]) -> Tensor:
    """Return the first of what an attention returns; its weights, the second, are noted."""
    notes = None if torch.compiler.is_compiling() else _NOTES.get()
    if notes is not None:
        notes.weights.append(out[1] if len(out) > 1 else None)
    return cast(Tensor, out[0])


def recorded_layers(trunk: Trunk, layers: list[Tensor]) -> Trunk:
    """Return a view of a trunk that appends the output of every layer to ``layers``."""

    def call(index: int, context: dict[str, Any]) -> Callable[..., Tensor]:
        block = trunk.call(index, context)

        def recorded(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            layers.append(block(x, *args, **kwargs))
            return layers[-1]

        return recorded

    twin = copy.copy(trunk)
    twin.call = call  # type: ignore[method-assign]
    return twin


def shown_states(out: Any, notes: Notes, kind: str) -> Any:
    """Return a host's output with the hidden states of this kind, and the weights of attention.

    Args:
        out: Output of the host: a mapping with attributes, or a tuple.
        notes: Notes on the call.
        kind: See :data:`KINDS`.
    """
    found = {
        id(layer): readout
        for note in notes.passes
        for layer, readout in zip(note.layers, note.readouts, strict=True)
    }

    def of(value: Any) -> Any:
        if isinstance(value, Deferred):  # a host that collects the states in its own loop
            note = notes.passes[-1]
            return (note.layers if kind == "layers" else note.readouts)[value.depth]
        if isinstance(value, tuple) and type(value) is tuple:
            if value and all(part is None for part in value):  # as no layer had run yet
                return tuple(notes.weights)
            return tuple(of(part) for part in value)
        return found.get(id(value), value) if kind == "readouts" else value

    if isinstance(out, tuple):
        return tuple(of(part) if isinstance(part, tuple) else part for part in out)
    for key, value in list(out.items()):
        if isinstance(value, tuple):
            out[key] = of(value)
    return out


def keep_marks(host: nn.Module, view: nn.Module, paths: Sequence[str]) -> None:
    """Let a host know of the hooks that a view of it has put on the layers they share.

    transformers does so when it is first asked for hidden states, and would do it again.
    """
    for path in paths if host is not view else ():
        parts = path.split(".")
        for end in range(len(parts)):
            above = ".".join(parts[:end])
            seen = vars(view.get_submodule(above))
            if "_output_capturing_hooks_installed" in seen:
                vars(host.get_submodule(above))["_output_capturing_hooks_installed"] = True
