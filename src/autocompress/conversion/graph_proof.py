"""Prove that the branches from a layer's graph do what the layer does.

On the example's call, outputs, gradients and buffers must match the layer's, in evaluation and,
with equal random numbers, in training. A graph has no assignments, so a layer may not leave
anything of a pass on itself either.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.conversion.deferred import Call
from autocompress.conversion.layers import LayerKind, adopt
from autocompress.errors import ConvertError

__all__ = ["prove"]


def prove(layer: nn.Module, kind: LayerKind, call: Call) -> None:
    """Raise ConvertError unless the branches compute what the layer does for its call."""
    name = type(layer).__name__
    own = copy.deepcopy(layer)
    split = adopt(copy.deepcopy(layer), kind)
    for training in (False, True):
        mode = "training" if training else "evaluation"
        expected, left = _tried(
            own.train(training),
            call,
            f"{name} does not run by itself in {mode} on what its network gives it",
            "use an example of more rows, or give its branches with branches=",
        )
        found, kept = _tried(
            split.train(training),
            call,
            f"{name} split by its graph does not run",
            "give its branches with branches=",
        )
        x = call[0][0]
        if not training and expected[0].shape != x.shape:
            raise ConvertError(
                f"{name} changes the shape, {tuple(x.shape)} to {tuple(expected[0].shape)}: layers "
                "of a trunk keep it"
            )
        for what, one, other in zip(("output", *_names(own)), expected, found, strict=True):
            if one.shape != other.shape:
                raise ConvertError(
                    f"{name} split by its graph computes something else: its {what} has shape "
                    f"{tuple(other.shape)} and not {tuple(one.shape)}"
                )
            if torch.equal(one, other):
                continue
            one, other = one.double(), other.double()
            difference = float((one - other).abs().max())
            if not difference <= 1e-6 * max(1.0, float(one.abs().max())):
                raise ConvertError(
                    f"{name} split by its graph computes something else: in {mode} its {what} "
                    f"differs by {difference:.2g}"
                )
    lost = left - kept  # of training: what is only made once, in evaluation here, is no obstacle
    if lost:
        raise ConvertError(
            f"{name} sets its attribute {min(lost)!r} in each pass, which branches from its graph "
            "would not; give its branches with branches="
        )


def _attributes(layer: nn.Module) -> dict[str, Any]:
    """Return what a layer and its parts have as plain attributes: constants, else identities."""
    return {
        f"{path}.{name}".lstrip("."): value if isinstance(value, (int, float, str)) else id(value)
        for path, module in layer.named_modules()
        for name, value in vars(module).items()
        if name != "training"
    }


def _names(layer: nn.Module) -> list[str]:
    names = [name for name, p in layer.named_parameters() if p.requires_grad]
    buffers = [f"buffer {name}" for name, _ in layer.named_buffers()]
    return ["gradient by x", *(f"gradient by {name}" for name in names), *buffers]


def _tried(
    layer: nn.Module, call: Call, problem: str, advice: str
) -> tuple[list[Tensor], set[str]]:
    """Return a layer's outcome, or raise ConvertError with the problem and the advice."""
    try:
        return _outcome(layer, call)
    except ConvertError:
        raise
    except Exception as error:  # a user's code may raise anything
        raise ConvertError(f"{problem} ({error}); {advice}") from error


def _outcome(layer: nn.Module, call: Call) -> tuple[list[Tensor], set[str]]:
    """Run a layer, each time with the same seed.

    Returns:
        Output, gradients and buffers, and the attributes that the call has set.
    """
    before = _attributes(layer)
    (x, *args), kwargs = call
    x = x.detach().clone().requires_grad_()
    leaves = [x, *(p for p in layer.parameters() if p.requires_grad)]
    cuda = [x.device] if x.device.type == "cuda" else []
    with torch.enable_grad(), torch.random.fork_rng(devices=cuda):
        torch.manual_seed(0)
        out = layer(x * 1, *args, **kwargs)  # not a leaf: the layer may change it in place
        if not isinstance(out, Tensor):
            raise ConvertError(f"{type(layer).__name__} returns a {type(out).__name__}")
        weights = torch.linspace(0.5, 1.5, out.numel(), device=out.device).reshape(out.shape)
        try:
            grads = torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ConvertError(f"{type(layer).__name__} has no gradient: {reason}") from error
    pairs = zip(grads, leaves, strict=True)
    known = [torch.zeros_like(p) if g is None else g for g, p in pairs]
    after = _attributes(layer)
    buffers = (buffer.detach().clone() for buffer in layer.buffers())
    return [out.detach(), *known, *buffers], {
        path for path, value in after.items() if path not in before or before[path] != value
    }
