"""Text from a decoder: greedy, with a cache, and faster by drafts of its own first layers.

Self-speculative decoding (Elhoushi et al., LayerSkip, 2024; Zhang et al., 2024): the first k blocks
draft tokens through the shared head, full depth verifies them all at once. In a network of long
connections the draft is a prefix of the same running sum, so verification goes on from the drafted
states: no block sees a token twice, and both share one cache. What comes out is what greedy
decoding at full depth gives.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from autocompress.conversion.converted import Converted
from autocompress.conversion.faces import comes_from
from autocompress.errors import ConfigError, DataError, ShapeError
from autocompress.measurement.modes import evaluating
from autocompress.models import Decoder
from autocompress.network import Network

__all__ = ["Generated", "KeyValueCache", "generate"]


class KeyValueCache:
    """Keys and values of every layer, in place; see :class:`autocompress.models.attention.Cache`.

    Args:
        capacity: Tokens at most.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._stored: dict[int, tuple[Tensor, Tensor]] = {}
        self._lengths: dict[int, int] = {}

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, H, N, D / H) of the next N tokens of a layer; those of all its tokens."""
        if layer not in self._stored:
            shape = (*keys.shape[:2], self.capacity, keys.shape[3])
            self._stored[layer] = keys.new_empty(shape), values.new_empty(shape)
        start = self._lengths.get(layer, 0)
        stop = start + keys.shape[2]
        for store, new in zip(self._stored[layer], (keys, values), strict=True):
            store[:, :, start:stop] = new
        self._lengths[layer] = stop
        stored_keys, stored_values = self._stored[layer]
        return stored_keys[:, :, :stop], stored_values[:, :, :stop]

    def crop(self, tokens: int) -> None:
        """Forget the last ``tokens`` tokens."""
        self._lengths = {layer: had - tokens for layer, had in self._lengths.items()}


@dataclass(frozen=True)
class Generated:
    """What :func:`generate` returns.

    Attributes:
        ids: (B, N + new) the prompt and what follows it; shorter where all have stopped.
        drafted: Tokens that were drafted.
        accepted: How many of these full depth would have chosen as well.
    """

    ids: Tensor
    drafted: int = 0
    accepted: int = 0


@torch.no_grad()
def generate(
    net: Network,
    ids: Tensor,
    new: int,
    *,
    draft_depth: int | None = None,
    draft_length: int = 4,
    draft_confidence: float = 0.0,
    stop: int | None = None,
) -> Generated:
    """The likeliest next token, ``new`` times.

    Args:
        net: A :class:`Decoder`, or a converted transformers decoder (GPT-2, Llama, Qwen ..).
        ids: (B, N) the prompts, of one length.
        new: How many tokens to add.
        draft_depth: Blocks that draft, 0..L - 1; None decodes plainly. For one prompt, B = 1.
        draft_length: Tokens that are drafted before full depth looks at them.
        draft_confidence: It looks at once when the probability of a drafted token is below this
            share, 0..1: what follows a token that is likely to be wrong is drafted in vain.
        stop: Token that ends a text. In a batch those that have ended repeat it until all have.

    Raises:
        ConfigError: A network that writes no text, or a count or share out of range.
        ShapeError: More tokens than the network has places for, or several prompts with drafts.
        DataError: A token that the network does not know. DepthError: No such depth.

    Example:
        >>> import torch, autocompress as ac
        >>> net = ac.models.Decoder(depth=4, width=16, vocabulary=20, length=32, heads=2)
        >>> prompt = torch.tensor([[3, 1, 4]])
        >>> plain = ac.generate(net, prompt, 8)
        >>> plain.ids.shape
        torch.Size([1, 11])
        >>> drafted = ac.generate(net, prompt, 8, draft_depth=2)
        >>> bool((plain.ids == drafted.ids).all())
        True
    """
    for name, count in (("new", new), ("draft_length", draft_length)):
        if count < 1:
            raise ConfigError(f"{name} {count} must be at least 1")
    if not 0 <= draft_confidence <= 1:
        raise ConfigError(f"draft_confidence {draft_confidence} must be a share between 0 and 1")
    if draft_depth is not None and (net.check_depth(draft_depth) == net.depth or len(ids) != 1):
        raise ShapeError(
            f"drafts need one prompt, not {len(ids)}, and fewer than all {net.depth} blocks, "
            f"not {draft_depth}"
        )
    writer = _writer(net, ids.shape[-1] + new)
    _check_prompt(ids, writer.vocabulary)
    if writer.room is not None and ids.shape[1] + new > writer.room:
        raise ShapeError(
            f"a prompt of {ids.shape[1]} tokens and {new} more; this network has {writer.room} "
            "places"
        )
    with evaluating(net):
        if draft_depth is None:
            return _plain(writer, ids, new, stop)
        return _drafted(writer, ids, new, draft_depth, draft_length, draft_confidence, stop)


def _check_prompt(ids: Tensor, vocabulary: int) -> None:
    if ids.dim() != 2 or ids.dtype.is_floating_point or not ids.numel():
        raise ShapeError(
            f"prompts of shape {tuple(ids.shape)} and type {ids.dtype}; expected integers "
            "(prompts, 1 or more tokens)"
        )
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        raise DataError(
            f"the prompt's tokens run from {low} to {high}; this network knows 0..{vocabulary - 1}"
        )


# -- a network and what it has read ----------------------------------------------------------------


class _Writer(Protocol):
    """A network and what it has read.

    Attributes:
        depth: L.
        room: Tokens at most; None where there is no end.
        vocabulary: Tokens that there are.
    """

    depth: int
    room: int | None
    vocabulary: int

    def run(
        self, ids: Tensor, place: int, depth: int, *, first: int = 0, state: Any = None
    ) -> tuple[Any, Tensor]:
        """State and logits (B, N, V) at ``depth`` of the tokens at the places from ``place`` on.

        With a ``state`` of theirs at depth ``first`` the blocks below do not run again.
        """

    def last(self, ids: Tensor, place: int) -> Tensor:
        """Logits (B, 1, V) after the last of these tokens, at full depth."""

    def forget(self, tokens: int) -> None:
        """Take back the last tokens that were read."""


def _writer(net: Network, capacity: int) -> _Writer:
    if isinstance(net, Decoder):
        return _OwnWriter(net, capacity)
    if isinstance(net, Converted):
        return _HostWriter(net)
    raise ConfigError(
        f"a {type(net).__name__} writes no text; generate takes a Decoder, or what ac.convert "
        "makes of a transformers decoder (GPT2LMHeadModel, LlamaForCausalLM, ..)"
    )


class _OwnWriter:
    def __init__(self, net: Decoder, capacity: int) -> None:
        self.net, self.cache = net, KeyValueCache(capacity)
        self.depth, self.room = net.depth, cast("int | None", net.config["length"])
        self.vocabulary = net.config["vocabulary"]

    def run(
        self, ids: Tensor, place: int, depth: int, *, first: int = 0, state: Any = None
    ) -> tuple[Any, Tensor]:
        state = self._go_on(ids, place, depth, first, state)
        return state, cast(Tensor, self.net.head(self.net.trunk.connectivity.readout(state)))

    def last(self, ids: Tensor, place: int) -> Tensor:
        state = self._go_on(ids, place, self.depth, 0, None)
        readout = self.net.trunk.connectivity.readout(state)
        return cast(Tensor, self.net.head(readout[:, -1:]))

    def _go_on(self, ids: Tensor, place: int, depth: int, first: int, state: Any) -> Any:
        if state is None:
            state = self.net.trunk.connectivity.begin(self.net.stem(ids, place))
        *_, last = self.net.trunk.onwards(state, first, depth, cache=self.cache)
        return last

    def forget(self, tokens: int) -> None:
        self.cache.crop(tokens)


class _HostWriter:
    """A host with the cache of its own library.

    One that keeps all tokens, also where layers look at a window of them: what is taken back must
    still be there. The host's masks see to the window.
    """

    def __init__(self, net: Converted) -> None:
        _check_host(net)
        from transformers import DynamicCache

        host: Any = net.model
        self.net, self.cache = net, DynamicCache()
        self.depth, self.room = net.depth, getattr(host.config, "max_position_embeddings", None)
        self.vocabulary = host.config.vocab_size
        self.keeps = "logits_to_keep" in inspect.signature(host.forward).parameters

    def run(
        self, ids: Tensor, place: int, depth: int, *, first: int = 0, state: Any = None
    ) -> tuple[Any, Tensor]:
        return self.net.go_on(self._inputs(ids, place, first), first, state, depth)

    def last(self, ids: Tensor, place: int) -> Tensor:
        inputs = self._inputs(ids, place, 0)
        if self.keeps:
            inputs["logits_to_keep"] = 1
        return self.net.face.call(self.net.model, inputs)[:, -1:]

    def _inputs(self, ids: Tensor, place: int, first: int) -> dict[str, Any]:
        places = torch.arange(place, place + ids.shape[1], device=ids.device)
        cache = self.cache
        if first:  # the host asks a layer below, which has read more, for the size of its masks
            cache = copy.copy(cache)
            cache.layers = [cache.layers[first]] * first + cache.layers[first:]
        return {
            "input_ids": ids,
            "position_ids": places[None],
            "past_key_values": cache,
            "use_cache": True,
        }

    def forget(self, tokens: int) -> None:
        self.cache.crop(-tokens)


def _check_host(net: Converted) -> None:
    """Raises ConfigError for a host that does not write from left to right."""
    host: Any = net.model
    name = type(host).__name__
    if not comes_from(host, "transformers") or not host.can_generate():
        raise ConfigError(f"{name} writes no text: it is no transformers model that can generate")
    if not all(getattr(module, "is_causal", True) for module in net.trunk.modules()):
        raise ConfigError(f"{name} is an encoder: its tokens see those after them")


# -- decoding --------------------------------------------------------------------------------------


def _plain(writer: _Writer, ids: Tensor, new: int, stop: int | None) -> Generated:
    unread = ids
    ended = torch.zeros(len(ids), 1, dtype=torch.bool, device=ids.device)
    for _ in range(new):
        unread = writer.last(unread, ids.shape[1] - unread.shape[1]).argmax(-1)
        if stop is not None:
            unread = unread.masked_fill(ended, stop)
            ended |= unread == stop
        ids = torch.cat([ids, unread], dim=1)
        if stop is not None and bool(ended.all()):
            break
    return Generated(ids)


def _drafted(
    writer: _Writer,
    ids: Tensor,
    new: int,
    draft_depth: int,
    draft_length: int,
    confidence: float,
    stop: int | None,
) -> Generated:
    known, end = ids.shape[1], ids.shape[1] + new
    ids = torch.cat([ids, writer.last(ids, 0).argmax(-1)], dim=1)
    drafted = accepted = 0
    while not _is_over(ids, known, end, stop):
        known = ids.shape[1]
        states, token = [], ids[:, -1:]
        for place in range(known - 1, min(known - 1 + draft_length, end - 1)):
            state, logits = writer.run(token, place, draft_depth)
            states.append(state)
            token = logits.argmax(-1)
            ids = torch.cat([ids, token], dim=1)
            if confidence and float(logits.softmax(-1).amax()) < confidence:
                break
        going_on: dict[str, Any] = {"first": draft_depth, "state": _joined(states)}
        _, logits = writer.run(ids[:, known - 1 : -1], known - 1, writer.depth, **going_on)
        verified = logits.argmax(-1)
        good = int((ids[:, known:] == verified).int().cumprod(1).sum())
        drafted, accepted = drafted + len(states), accepted + good
        if good < len(states):  # the first token that full depth would not have chosen, and after
            ids = torch.cat([ids[:, : known + good], verified[:, good : good + 1]], dim=1)
            writer.forget(len(states) - good - 1)
    return Generated(_until(ids, known, stop), drafted, accepted)


def _is_over(ids: Tensor, start: int, end: int, stop: int | None) -> bool:
    """Whether a text is long enough, or has its stop among the tokens from ``start`` on."""
    return ids.shape[1] >= end or (stop is not None and bool((ids[0, start:] == stop).any()))


def _until(ids: Tensor, start: int, stop: int | None) -> Tensor:
    """A text up to its first stop among the tokens from ``start`` on."""
    ends = [] if stop is None else (ids[0, start:] == stop).nonzero().flatten().tolist()
    return ids[:, : start + ends[0] + 1] if ends else ids


def _joined(states: Sequence[Any]) -> Any:
    """One state of all these tokens; a state is tensors (B, N, D) in tuples, None for nothing."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(list(states), dim=1)
    return None if first is None else tuple(_joined(parts) for parts in zip(*states, strict=True))
