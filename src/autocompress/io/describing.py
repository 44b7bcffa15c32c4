"""Describe a network as config.json, and build a network without weights from a description.

A description is verified: the network is rebuilt from it, compared with the original part by part,
and run beside it. Differences are recorded, or saving is refused because of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.errors import AutoCompressError, CheckpointError, ConfigError
from autocompress.io.changes import Changes, apply_changes, find_changes
from autocompress.io.header import Header
from autocompress.io.quantised import refuse_to_save
from autocompress.io.schema import OWN_KEYS
from autocompress.io.skeleton import PARTS, PARTS_PER_TENSOR, hollow, is_complete, on_meta
from autocompress.io.weights import check_fits, own_buffers
from autocompress.savable import Savable, build_savable
from autocompress.sharded import is_sharded

__all__ = ["Description", "build_empty", "describe"]

#: Largest number of bytes, beyond those of the weights, for buffers that no file holds.
BUFFER_BYTES = 256 << 20


@dataclass(frozen=True)
class Description:
    """The data that is written about a network besides its state_dict.

    Attributes:
        options: Keyword arguments that build it.
        changes: Changes since it was built (:mod:`autocompress.io.changes`); usually empty.
        buffers: Tensors outside the state_dict that building does not restore.
    """

    options: dict[str, Any]
    changes: dict[str, Any]
    buffers: dict[str, Tensor]


def describe(net: Savable) -> Description:
    """Return the description from which ``net`` can be loaded unchanged.

    Raises:
        ConfigError: The network could not be loaded again; the message gives the reason.
    """
    refuse_to_save(net, _called(net))
    options = net.recipe()
    _check_savable(net, options)
    if net.owner_builds:
        return Description(options, {}, {})
    again, found = _rebuilt(net, json.loads(json.dumps(options)))
    if found.refusals:
        more = f" (and {len(found.refusals) - 1} more)" if len(found.refusals) > 1 else ""
        raise ConfigError(
            f"{_called(net)} cannot be saved, as its folder would build another network: "
            f"{found.refusals[0]}{more}"
        )
    buffers = _lost_buffers(net, again)
    _lend(net, again, all_buffers=True)
    if not _alike(net, again):
        notes = "; ".join(found.notes[:3]) or "an attribute that no file can hold"
        raise ConfigError(
            f"{_called(net)} cannot be saved: built again with the same weights it computes "
            f"something else. The reason may be: {notes}"
        )
    return Description(options, found.to_config(), buffers)


def _check_savable(net: Savable, options: Mapping[str, Any]) -> None:
    """Raise ConfigError for a network that no folder can describe, whatever it computes."""
    clash = sorted(set(options) & OWN_KEYS)
    if clash:
        raise ConfigError(f"model option {clash[0]!r} is a key that config.json needs: rename it")
    _check_json({"options": options, "preprocess": net.preprocess})
    if any(tensor.is_meta for tensor in net.state_dict().values()):
        raise ConfigError(f"{_called(net)} is on the meta device: it has no weights to be saved")
    if any(map(is_sharded, net.modules())):
        raise ConfigError(
            f"{_called(net)} lies in pieces on several processes: cut it at its full depth on each "
            "of them, which collects the weights, and save that on one"
        )
    if not net.owner_builds and not net.model_name:
        raise ConfigError(
            f"{type(net).__name__} has no name in the registry, so no folder can name it: "
            "@autocompress.register_model(NAME) gives it one"
        )


def _rebuilt(net: Savable, options: dict[str, Any]) -> tuple[Savable, Changes]:
    """Return a network built from the options, with the weights of ``net``, and the changes to it.

    Raises:
        ConfigError: Its constructor refuses the options.
    """
    found = Changes()

    def become(again: Savable) -> None:
        nonlocal found
        found = find_changes(net, again)
        if not found.refusals:
            apply_changes(again, json.loads(json.dumps(found.to_config())))
            left = find_changes(net, again)
            found.refusals += left.refusals
            found.refusals += [f"{path} is other than it was built" for path in left.to_config()]
        _lend(net, again)

    try:
        again = build_empty(net.model_name, options, {}, None, become)
    except AutoCompressError as error:
        raise ConfigError(f"{_called(net)} could not be built again: {error}") from error
    return again, found


def build_empty(
    name: str,
    arguments: Mapping[str, Any],
    changes: Mapping[str, Any],
    header: Header | None,
    fill: Callable[[Savable], object],
) -> Savable:
    """Build the network that a config describes, with its weights.

    Args:
        name: Name of the model in the registry.
        arguments: Keyword arguments of its constructor.
        changes: Changes since it was built.
        header: Header of the weights file; a description that does not match it is refused before
            memory is allocated.
        fill: Function that loads the weights into an empty network; it may be called twice.

    Raises:
        CheckpointError: The weights belong to another network, or to a smaller one.
    """
    if isinstance(arguments.get("model"), nn.Module):  # it has weights, so nothing is built
        net = build_savable(name, **arguments)
        fill(net)
        return net
    parts, room = PARTS, None
    if header is not None:
        parts = max(PARTS, PARTS_PER_TENSOR * len(header.shapes))
        room = BUFFER_BYTES + header.size
    try:
        with on_meta(parts):
            net = build_savable(name, **arguments)
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error):  # otherwise its constructor needs actual numbers
            raise
    else:
        apply_changes(net, changes)
        if header is not None:
            check_fits(net, header)
            _check_buffers(net, room)
        fill(net)
        if is_complete(net):
            return net
        net.refill_buffers()
        if is_complete(net):
            return net
    with torch.random.fork_rng(devices=[]), hollow(parts, room):
        net = build_savable(name, **arguments)
    apply_changes(net, changes)
    fill(net)
    return net


def _check_buffers(net: Savable, room: int | None) -> None:
    size = sum(tensor.nbytes for tensor in own_buffers(net).values())
    if room is not None and size > room:
        raise CheckpointError(
            f"its buffers would have {size >> 20} MiB, which is more than its weights can fill"
        )


def _check_json(said: Mapping[str, Any]) -> None:
    for what, value in said.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"the network's {what} cannot be written as JSON: {error}") from error


def _called(net: Savable) -> str:
    return f"this {net.config.get('source', type(net).__name__)}"


def _lost_buffers(net: nn.Module, again: nn.Module) -> dict[str, Tensor]:
    """Return the buffers of ``net`` that no file holds and that rebuilding does not restore."""
    fresh = own_buffers(again)
    return {
        name: tensor.detach()
        for name, tensor in own_buffers(net).items()
        if name in fresh and not _same(tensor.detach().cpu(), fresh[name].detach().cpu())
    }


def _same(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _lend(net: nn.Module, again: nn.Module, all_buffers: bool = False) -> None:
    """Let ``again`` use the tensors of ``net``: those that a file holds, or all of them."""
    places = dict(again.named_modules(remove_duplicate=False))
    for path, module in net.named_modules(remove_duplicate=False):
        twin = places.get(path)
        if twin is None:
            continue
        for key, parameter in module._parameters.items():
            if parameter is not None:
                setattr(twin, key, parameter)
        for key, buffer in module._buffers.items():
            if buffer is not None and (
                all_buffers or key not in module._non_persistent_buffers_set
            ):
                twin._buffers[key] = buffer


def _alike(net: Savable, again: Savable) -> bool:
    """Return whether two networks that share their tensors give equal outputs, where testable."""
    again.preprocess = net.preprocess
    with _quietly(net, again), torch.random.fork_rng(devices=[]):
        try:
            x = net.example(1)
            torch.manual_seed(0)
            expected = net(x)
        except Exception:  # it takes none of our examples: the comparison of parts has to do
            return True
        try:
            torch.manual_seed(0)
            found = again(x)
            if _same(expected, found):
                return True
            torch.manual_seed(0)
            steady = _same(expected, net(x))
        except Exception:
            return False
    return not steady and torch.allclose(expected, found, rtol=1e-2, atol=1e-3)


@contextmanager
def _quietly(*nets: nn.Module) -> Iterator[None]:
    """Use evaluation mode without gradients, then restore the mode of every module."""
    before = [(module, module.training) for net in nets for module in net.modules()]
    try:
        for net in nets:
            net.eval()
        with torch.inference_mode():
            yield
    finally:
        for module, training in before:
            module.training = training
