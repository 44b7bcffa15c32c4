"""Checks of a conversion on a batch: does the network still compute what it did?"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from autocompress.convert.faces import Face, face_of
from autocompress.convert.host import Call
from autocompress.errors import ConvertError
from autocompress.measure.modes import evaluating

__all__ = ["calls_of", "check_same", "check_shapes"]

#: Largest absolute difference that two orders of the same float32 sums may show.
TOLERANCE = 1e-6


def calls_of(model: nn.Module, path: str, example: Any) -> list[Call]:
    """With which arguments, x first, each layer at ``path`` is called on a batch.

    Raises:
        ConvertError: the model does not take the batch, or a layer is not called exactly once.
    """
    layers = list(model.get_submodule(path).children())
    seen: list[list[Call]] = [[] for _ in layers]

    def note(index: int) -> Any:
        return lambda _, args, kwargs: seen[index].append((args, kwargs))

    hooks = [
        layer.register_forward_pre_hook(note(index), with_kwargs=True)
        for index, layer in enumerate(layers)
    ]
    try:
        with evaluating(model):
            face_of(model).call(model, example)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConvertError(f"{type(model).__name__} does not take the example: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    for index, calls in enumerate(seen):
        if len(calls) != 1 or not calls[0][0]:
            raise ConvertError(
                f"layer {path}.{index} is called {len(calls)} times in a pass, not once"
            )
    return [calls[0] for calls in seen]


def check_same(model: nn.Module, host: nn.Module, face: Face, example: Any) -> None:
    """Raises ConvertError if ``host``, a residual conversion of ``model``, differs on a batch."""
    with evaluating(model, host):
        expected, found = face.call(model, example), face.call(host, example)
    difference = float((expected - found).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ConvertError(
            f"with these branches {type(model).__name__} computes something else: its output "
            f"differs by {difference:.2g}, and 1e-6 is what rounding may do"
        )


def check_shapes(model: nn.Module, path: str, example: Any) -> None:
    """Raises ConvertError if a layer at ``path`` returns another shape than it is given."""
    outputs: list[Any] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: outputs.append(out))
        for layer in model.get_submodule(path).children()
    ]
    try:
        calls = calls_of(model, path, example)
    finally:
        for hook in hooks:
            hook.remove()
    for index, ((args, _), out) in enumerate(zip(calls, outputs, strict=True)):
        before = tuple(args[0].shape)
        after = tuple((out if isinstance(out, Tensor) else out[0]).shape)
        if before != after:
            raise ConvertError(
                f"{path}.{index} makes {after} of {before}: long connections add what the layers "
                "return, so all of a list must keep the shape; name lists that do, blocks=[...]"
            )
