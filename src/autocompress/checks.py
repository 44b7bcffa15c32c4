"""Check that a network and a batch fit together.

Training, probing, measuring, diagnosis and export share these checks: whether the object is a
network of this library, whether it accepts the inputs and, if an output is not finite, which
example or layer is to blame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autocompress.errors import (
    AutoCompressError,
    ConfigError,
    DataError,
    NotFiniteError,
    ShapeError,
)
from autocompress.savable import Savable

__all__ = [
    "as_floats_of",
    "blame",
    "check_example",
    "check_network",
    "first_not_finite",
    "not_finite_rows",
    "not_finite_weights",
    "rows_in",
    "rows_of",
    "shown_inputs",
    "takes",
]

T = TypeVar("T")


def check_network(net: object, verb: str) -> None:
    """Raise ConfigError unless ``net`` is a network whose depths can be read.

    Args:
        net: The object that the user passed in.
        verb: The requested operation, for the message.

    Example:
        >>> check_network(nn.Linear(2, 2), "probe")
        Traceback (most recent call last):
        autocompress.errors.ConfigError: probe takes a network of autocompress, not a Linear: \
ac.plan(model) shows what its layers are, ac.convert(model, example=batch) makes a network of it; \
or write it as a Network (docs/architecture.md)
    """
    if isinstance(net, Savable):
        return
    name = type(net).__name__
    if isinstance(net, nn.Module):
        hint = (
            "ac.plan(model) shows what its layers are, ac.convert(model, example=batch) makes a "
            "network of it; or write it as a Network (docs/architecture.md)"
        )
    else:
        hint = "ac.models has some, ac.load reads one, ac.convert makes one of another library's"
    raise ConfigError(f"{verb} takes a network of autocompress, not a {name}: {hint}")


def as_floats_of(net: nn.Module, inputs: T) -> T:
    """Cast floating-point inputs to the precision of the network's weights.

    numpy defaults to float64 while networks compute in float32, and a half-precision network
    rejects float32. Integers (token ids), bytes and masks are left unchanged.

    Args:
        net: The network; its first floating-point parameter sets the precision.
        inputs: A tensor or a mapping of tensors.

    Example:
        >>> as_floats_of(nn.Linear(1, 1), torch.zeros(1, dtype=torch.float64)).dtype
        torch.float32
    """
    dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), None)
    if isinstance(inputs, Mapping):
        changed = {
            name: value if "mask" in str(name) else as_floats_of(net, value)
            for name, value in inputs.items()
        }
        alike = all(changed[name] is value for name, value in inputs.items())
        return inputs if alike else cast(T, changed)
    if dtype is None or not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        return inputs
    return cast(T, inputs.to(dtype))


@contextmanager
def takes(net: nn.Module, inputs: Any) -> Iterator[None]:
    """Convert whatever a network raises for inputs that it cannot take into a ShapeError.

    Networks of this library raise ShapeError themselves; those of other libraries raise anything.

    Raises:
        ShapeError: The body raised anything other than our own errors or an out-of-memory error.
    """
    try:
        yield
    except (AutoCompressError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # e.g. an assertion, a convolution's error, a failed unpacking
        config: Any = getattr(net, "config", None)
        known = config.get("source") if isinstance(config, Mapping) else None
        name = known or getattr(net, "model_name", "") or type(net).__name__
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(inputs, Tensor) and inputs.dtype == torch.uint8:
            reason += " (bytes of images are scaled first: data.normalise(images))"
        raise ShapeError(f"{name} does not take {shown_inputs(inputs)}: {reason}") from error


def shown_inputs(inputs: Any) -> str:
    """Describe inputs for an error message.

    Example:
        >>> shown_inputs(torch.zeros(2, 3))
        'inputs of shape (batch, 3), float32'
    """
    if isinstance(inputs, Tensor):
        sizes = ", ".join(["batch", *(str(size) for size in inputs.shape[1:])])
        return f"inputs of shape ({sizes}), {_dtype(inputs)}"
    if isinstance(inputs, Mapping):
        parts = [f"{k} {tuple(getattr(v, 'shape', ()))}" for k, v in inputs.items()]
        return f"inputs {', '.join(parts)}"
    return f"inputs of type {type(inputs).__name__}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def check_example(net: nn.Module, example: T, what: str) -> T:
    """Return an example in the form ``net`` takes, after running its first two rows.

    The rows are run without gradients.

    Args:
        net: The network, already in the intended mode and on the intended device.
        example: A batch (B, ...), as a tensor or a mapping of tensors, on the same device.
        what: A word for the example, for messages.

    Raises:
        ConfigError: The batch is empty.
        ShapeError: ``net`` cannot take it.
        DataError: The batch holds NaN or infinity.
        NotFiniteError: The outputs hold NaN or infinity although the batch does not.
    """
    tensors = [leaf for leaf in tree_leaves(example) if isinstance(leaf, Tensor)]
    sizes = {len(tensor) if tensor.dim() else 0 for tensor in tensors}
    if sizes == set() or 0 in sizes:
        _no_input(example, tensors)
    if len(sizes) > 1:
        raise ShapeError(f"an example of {shown_inputs(example)} has rows in different numbers")
    example = as_floats_of(net, example)
    some = rows_of(example, range(min(2, sizes.pop())))
    with torch.no_grad():
        with takes(net, some):
            out = net(some)
        floats = [t for t in tree_leaves(out) if isinstance(t, Tensor) and t.is_floating_point()]
        if not all(bool(torch.isfinite(t).all()) for t in floats):
            blame(net, some, what)
    return example


def rows_in(batch: Any) -> int:
    """Return the number of rows of a batch (B, ...), by its first tensor.

    Raises:
        ConfigError: It is neither a tensor nor a mapping of tensors, or its first one has no rows.

    Example:
        >>> rows_in({"ids": torch.tensor([[1], [2]])})
        2
    """
    leaves = tree_leaves(batch)
    if not leaves or not isinstance(leaves[0], Tensor) or not leaves[0].dim():
        _no_input(batch, [leaf for leaf in leaves if isinstance(leaf, Tensor)])
    return len(leaves[0])


def _no_input(batch: Any, tensors: Sequence[Tensor]) -> NoReturn:
    shape = f"of shape {tuple(tensors[0].shape)}" if tensors else f"({type(batch).__name__})"
    raise ConfigError(
        f"an example {shape} holds no input: give a batch (B, ...), a tensor or a mapping of "
        "the network's arguments"
    )


def rows_of(inputs: T, rows: Iterable[int]) -> T:
    """Return the rows of a batch at these indices, wrapping around if there are fewer rows.

    Example:
        >>> rows_of({"ids": torch.tensor([[1], [2]])}, range(3))["ids"].tolist()
        [[1], [2], [1]]
    """
    if isinstance(inputs, Mapping):
        return cast(T, {name: rows_of(value, rows) for name, value in inputs.items()})
    if not isinstance(inputs, Tensor):
        return inputs
    places = torch.tensor(list(rows), device=inputs.device) % len(inputs)
    return cast(T, inputs.index_select(0, places))


# -- numbers that are not finite -------------------------------------------------------------------


def not_finite_rows(inputs: Any) -> list[int]:
    """Return the rows of a batch that hold NaN or infinity, ignoring masks (they may be infinite).

    Example:
        >>> not_finite_rows(torch.tensor([[1.0], [float("nan")], [float("inf")]]))
        [1, 2]
    """
    if isinstance(inputs, Mapping):
        found = [not_finite_rows(v) for k, v in inputs.items() if "mask" not in str(k)]
        return sorted({row for rows in found for row in rows})
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or not inputs.dim():
        return []
    bad = ~torch.isfinite(inputs.flatten(1) if inputs.dim() > 1 else inputs[:, None]).all(1)
    return cast(list[int], bad.nonzero()[:, 0].tolist())


def not_finite_weights(net: nn.Module) -> list[str]:
    """Return the names of the parameters that hold NaN or infinity."""
    return [n for n, p in net.named_parameters() if not bool(torch.isfinite(_plain(p)).all())]


def _plain(tensor: Tensor) -> Tensor:
    """Return the values of a tensor that torchao has quantised; return other tensors unchanged."""
    is_theirs = type(tensor).__module__.startswith("torchao.")
    return cast(Tensor, cast(Any, tensor).dequantize()) if is_theirs else tensor


def first_not_finite(net: nn.Module, inputs: Any) -> str | None:
    """Return the name of the first module, in execution order, whose output is not finite.

    For nested modules the innermost is named. Returns None if no module is to blame.

    Args:
        net: The network, which is run once in its current mode.
        inputs: A batch in the form ``net`` takes.
    """
    seen: list[str] = []

    def look(name: str, out: Any) -> None:
        tensors = [t for t in tree_leaves(out) if isinstance(t, Tensor) and t.is_floating_point()]
        if not seen and not all(bool(torch.isfinite(t).all()) for t in tensors):
            seen.append(name)

    handles = [
        module.register_forward_hook(lambda _, __, out, name=name: look(name, out))
        for name, module in net.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            net(inputs)
    except Exception:  # only the name matters here; a real failure shows up in normal use
        pass
    finally:
        for handle in handles:
            handle.remove()
    return seen[0] if seen else None


def blame(net: nn.Module, inputs: Any, what: str, first: int = 0) -> NoReturn:
    """Raise an error that says where a non-finite number came from.

    Args:
        net: The network that produced it, in the same mode.
        inputs: The batch that it was computed from, in the form ``net`` takes.
        what: A word for the data, for the message, e.g. ``"validation"``.
        first: Index in the data of the batch's first example.

    Raises:
        DataError: An example holds NaN or infinity; its index is named.
        NotFiniteError: A weight does, or a layer produced one from finite inputs.
    """
    rows = not_finite_rows(inputs)
    if rows:
        more = f", as do {len(rows) - 1} more of its batch" if len(rows) > 1 else ""
        raise DataError(
            f"example {first + rows[0]} of the {what} data holds NaN or infinity{more}: "
            "clean the inputs first, e.g. torch.nan_to_num"
        )
    weights = not_finite_weights(net)
    if weights:
        others = f" and {len(weights) - 1} more" if len(weights) > 1 else ""
        raise NotFiniteError(
            f"the weights of this network hold NaN or infinity: {weights[0]}{others}; "
            "load them again from before that"
        )
    layer = first_not_finite(net, inputs)
    where = f"{layer} is the first module to" if layer else "the outputs"
    raise NotFiniteError(
        f"{where} give NaN or infinity for the {what} data (examples from {first} on), though "
        "inputs and weights are finite: half precision overflows at 65,504 (try bf16 or fp32), and "
        "a mask that hides every token of an example divides by zero"
    )
