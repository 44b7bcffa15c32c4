"""Verify a conversion on a batch: does the network still compute the same?"""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autocompress.conversion.deferred import Call, Deferred
from autocompress.conversion.interfaces import Interface, interface_of
from autocompress.errors import ConvertError
from autocompress.measurement.modes import device_of, in_eval_mode

__all__ = [
    "Observed",
    "calls_of",
    "check_gradients",
    "check_same",
    "check_shapes",
    "layers_at",
    "observe",
    "runs",
]

#: Largest difference between two orders of the same float32 sums, as a share of the largest value;
#: it is scaled by the precision of other types.
TOLERANCE = 1e-6

#: Errors that a host raises for inputs that it cannot take.
_MISFIT = (
    TypeError,
    ValueError,
    RuntimeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
)


class Observed(NamedTuple):
    """A record of a model's run on a batch: its outputs, and the calls of modules with hooks.

    Attributes:
        example: The batch.
        outputs: Every tensor that the model returned, in order.
        hooked: Number of calls of each module with user hooks, by path.
    """

    example: Any
    outputs: list[Tensor]
    hooked: dict[str, int]


def observe(model: nn.Module, paths: Sequence[str], example: Any = None) -> Observed | None:
    """Run ``model`` on a batch and observe its layers.

    Args:
        model: The network, which is not changed.
        paths: Paths of its lists of layers.
        example: A batch that it takes. None makes a small one if the library determines its form;
            a network without values (on the meta device) is not run.

    Returns:
        What was observed; None if there is no batch.

    Raises:
        ConvertError: The model does not take the example, or does not call each layer of every
            list once and in order.
    """
    interface = interface_of(model)
    if example is None and any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        return None
    with _own_randomness(model):
        examples = interface.tiny(model) if example is None else [example]
    for batch in examples:
        called: list[nn.Module] = []
        try:
            with _own_randomness(model), _watching(called):
                outputs = _outputs(model, interface, batch)
        except _MISFIT as error:
            if example is None:
                continue
            name = type(model).__name__
            raise ConvertError(f"{name} does not take the example: {error}") from error
        for path in paths:
            layers = layers_at(model, path)
            own = {id(layer) for layer in layers}
            _check_calls(path, layers, [module for module in called if id(module) in own])
        named = model.named_modules()
        hooked = {path: called.count(module) for path, module in named if _has_hooks(module)}
        return Observed(batch, outputs, hooked)
    return None


def runs(model: nn.Module, batch: Any) -> bool:
    """Return whether a host takes this batch, without a trace on its random numbers."""
    try:
        with _own_randomness(model):
            _outputs(model, interface_of(model), batch)
    except _MISFIT:
        return False
    return True


def layers_at(model: nn.Module, path: str) -> list[nn.Module]:
    """Return the layers of a list, including those that occur more than once."""
    return [m for m in model.get_submodule(path)._modules.values() if m is not None]


def _check_calls(path: str, layers: list[nn.Module], called: list[nn.Module]) -> None:
    if len(called) == len(layers) and all(map(operator.is_, called, layers)):
        return
    for index, layer in enumerate(layers):
        times, places = called.count(layer), layers.count(layer)
        if times != places:
            wanted = "once" if places == 1 else f"{places} times, once for each place in the list"
            raise ConvertError(
                f"layer {path}.{index} is called {times} times in a pass, not {wanted}: long "
                "connections need every layer to run exactly once"
            )
    raise ConvertError(f"the layers of {path} are not called in the order of the list")


def check_same(model: nn.Module, host: nn.Module, seen: Observed) -> None:
    """Raise ConvertError if ``host``, a residual conversion of ``model``, differs on a batch."""
    name = type(model).__name__
    called: list[nn.Module] = []
    hooked = {path: host.get_submodule(path) for path in seen.hooked}
    with _own_randomness(host), _watching(called):
        try:
            found = _outputs(host, interface_of(host), seen.example)
        except ConvertError:
            raise
        except _MISFIT as error:
            raise ConvertError(
                f"the converted {name} does not take what {name} takes: "
                f"{type(error).__name__}: {error}"
            ) from error
    difference = _difference(seen.outputs, found)
    if difference:
        raise ConvertError(
            f"with these branches {name} computes something else: its output differs by "
            f"{difference}, and rounding explains at most {TOLERANCE:g} of the largest value"
        )
    for path, module in hooked.items():
        if called.count(module) != seen.hooked[path] or not _has_hooks(module):
            raise ConvertError(
                f"the hooks on {path or name} would not run: branches call the parts of that "
                "module themselves; remove them, or put them on a module inside"
            )


def check_gradients(model: nn.Module, host: nn.Module, example: Any) -> None:
    """Raise ConvertError if a residual conversion trains differently from ``model`` on a batch.

    Outputs, gradients and buffers in training mode are compared, with the same random numbers.
    Models that do not train on this batch, or not twice in the same way, are skipped.
    """
    try:
        expected = _trained(model, example)
    except _MISFIT:
        return
    if expected is None:
        return
    names = [
        "output",
        *(f"gradient by {n}" for n, p in model.named_parameters() if p.requires_grad),
        *(f"buffer {n}" for n, _ in model.named_buffers()),
    ]
    try:
        found = _trained(host, example)
    except (*_MISFIT, ConvertError) as error:
        raise ConvertError(
            f"the converted {type(model).__name__} does not train as it does: {error}"
        ) from error
    for what, one, other in zip(names, expected, found or [], strict=False):
        difference = _difference([one], [other])
        if difference:
            if _difference(expected, _trained(model, example) or []):
                return  # the model differs from itself
            raise ConvertError(
                f"the converted {type(model).__name__} trains differently: its {what} differs by "
                f"{difference} in training mode"
            )
    if found is None:
        raise ConvertError(f"the converted {type(model).__name__} has no gradient")


def _trained(model: nn.Module, example: Any) -> list[Tensor] | None:
    """Return output, gradients and buffers in training mode; restore buffers and modes."""
    leaves = [p for p in model.parameters() if p.requires_grad]
    buffers = [
        (module._buffers, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.enable_grad(), _own_randomness(model):
            out = interface_of(model).call(model.train(), example)
            if not (isinstance(out, Tensor) and out.requires_grad and leaves):
                return None
            weights = torch.linspace(0.5, 1.5, out.numel(), device=out.device, dtype=out.dtype)
            loss = (out * weights.reshape(out.shape)).mean()
            grads = _gradients(loss, leaves)
            after = [buffer.clone() for buffer in model.buffers()]
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for owner, name, buffer, before in buffers:
                owner[name] = buffer.copy_(before)  # forward may have put another in its place
    pairs = zip(grads, leaves, strict=True)
    known = [torch.zeros_like(p) if g is None else g for g, p in pairs]
    return [out.detach(), *known, *after]


def _gradients(loss: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Return the gradients of a loss without storing them."""
    try:
        return torch.autograd.grad(loss, leaves, allow_unused=True, retain_graph=True)
    except RuntimeError:  # reentrant checkpoints need backward()
        if any(getattr(leaf, "_post_accumulate_grad_hooks", None) for leaf in leaves):
            raise
    kept = [leaf.grad for leaf in leaves]
    try:
        for leaf in leaves:
            leaf.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        return [leaf.grad for leaf in leaves]
    finally:
        for leaf, grad in zip(leaves, kept, strict=True):
            leaf.grad = grad


# -- running a model -------------------------------------------------------------------------------


def _outputs(model: nn.Module, interface: Interface, example: Any) -> list[Tensor]:
    """Return every tensor that a model returns in evaluation, in order.

    Gradients are off, but inference mode is not used: a host may keep tensors that it creates,
    and they must remain usable in training.
    """
    with in_eval_mode(model), torch.no_grad():
        return list(_tensors(interface.output(model, example)))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value.to_padded_tensor(0.0) if value.is_nested else value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, Deferred):
        raise ConvertError(
            "the host returns what its layers return one by one: a trunk runs them all at once"
        )


def _difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> str | None:
    """Describe how far two lists of tensors are apart; None if the difference is rounding."""
    if [t.shape for t in expected] != [t.shape for t in found]:
        return f"shape ({[tuple(t.shape) for t in expected]}, {[tuple(t.shape) for t in found]})"
    worst = 0.0
    for one, other in zip(expected, found, strict=True):
        if torch.equal(one, other):
            continue
        wide = torch.float64 if one.dtype == torch.float64 else torch.float32
        finfo = torch.finfo(one.dtype) if one.is_floating_point() else torch.finfo(wide)
        one, other = one.to(wide), other.to(wide)
        apart = (one - other).abs()
        apart = torch.where((one == other) | (one.isnan() & other.isnan()), 0.0, apart)
        largest = float(one.abs().nan_to_num(0.0, 0.0, 0.0).max())
        if not float(apart.max()) <= max(TOLERANCE, 4 * finfo.eps) * max(1.0, largest):
            worst = max(worst, float(apart.nan_to_num(float("inf")).max()))
    return f"{worst:.2g}" if worst else None


@contextmanager
def _own_randomness(model: nn.Module) -> Iterator[None]:
    """Use the same random numbers each time and restore the generators afterwards."""
    device = device_of(model)
    before = random.getstate()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        random.seed(0)
        try:
            yield
        finally:
            random.setstate(before)


@contextmanager
def _watching(called: list[nn.Module]) -> Iterator[None]:
    """Record every module that is called, in order, without hooks (torch checks for them)."""

    def note(module: nn.Module, _: Any) -> None:
        called.append(module)

    handle = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        handle.remove()


def _has_hooks(module: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind, None) for kind in kinds)


# -- the calls of layers ---------------------------------------------------------------------------


def calls_of(model: nn.Module, path: str, example: Any) -> list[Call]:
    """Return the arguments, x first, with which each layer at ``path`` is called on a batch.

    Raises:
        ConvertError: The model does not take the batch, or a layer is not called exactly once.
    """
    layers = layers_at(model, path)
    seen: list[tuple[nn.Module, Call]] = []

    def note(layer: nn.Module, args: Any, kwargs: Any) -> None:
        seen.append((layer, (args, kwargs)))

    hooks = [
        layer.register_forward_pre_hook(note, with_kwargs=True) for layer in dict.fromkeys(layers)
    ]
    try:
        with _own_randomness(model):
            _outputs(model, interface_of(model), example)
    except _MISFIT as error:
        raise ConvertError(f"{type(model).__name__} does not take the example: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    _check_calls(path, layers, [layer for layer, _ in seen])
    for index, (_, (args, _kwargs)) in enumerate(seen):
        if not args or not isinstance(args[0], Tensor) or args[0].is_nested:
            raise ConvertError(
                f"layer {path}.{index} is not called with a tensor first, as layers of a trunk are"
            )
    return [call for _, call in seen]


def check_shapes(model: nn.Module, path: str, example: Any) -> None:
    """Raise ConvertError if a layer at ``path`` returns another shape than it is given."""
    outputs: list[Any] = []
    layers = layers_at(model, path)
    hooks = [
        layer.register_forward_hook(lambda _, __, out: outputs.append(out))
        for layer in dict.fromkeys(layers)
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
                f"{path}.{index} turns {before} into {after}: long connections add what the layers "
                "return, so all of a list must keep the shape; name lists that do, blocks=[...]"
            )
