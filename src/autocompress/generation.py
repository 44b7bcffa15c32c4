"""Generate text with a decoder: greedily, with a cache, and faster by drafts of its first layers.

In self-speculative decoding (Elhoushi et al., LayerSkip, 2024; Zhang et al., 2024) the first k
blocks draft tokens through the shared head, and full depth verifies them all at once. In a network
with long connections the draft is a prefix of the same running sum, so verification continues from
the drafted states: no block sees a token twice, and both share one cache. The result is that of
greedy decoding at full depth.
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
from autocompress.conversion.interfaces import comes_from
from autocompress.errors import ConfigError, DataError, ShapeError
from autocompress.measurement.modes import evaluating
from autocompress.models import Decoder
from autocompress.network import Network
from autocompress.sampling import Sampling, by_length, check_mask

__all__ = ["Generated", "KeyValueCache", "generate"]


class KeyValueCache:
    """The keys and values of every layer, updated in place (a ``Cache`` of models.attention).

    Args:
        capacity: Largest number of tokens.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._stored: dict[int, tuple[Tensor, Tensor]] = {}
        self._lengths: dict[int, int] = {}

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's next N tokens, (B, H, N, D / H), and return those of all its tokens."""
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
        """Drop the last ``tokens`` tokens."""
        self._lengths = {layer: had - tokens for layer, had in self._lengths.items()}


@dataclass(frozen=True)
class Generated:
    """The result of :func:`generate`.

    Attributes:
        ids: The prompt and its continuation, (B, N + new); shorter if all texts have stopped.
        drafted: Number of drafted tokens.
        accepted: Number of these that full depth would have chosen as well.
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
    attention_mask: Tensor | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
) -> Generated:
    """Append the next token to a prompt, ``new`` times: the most likely one, or a drawn one.

    Args:
        net: A :class:`Decoder`, or a converted transformers decoder (GPT-2, Llama, Qwen ..).
        ids: Prompts of equal length, (B, N), or padded on the left to it.
        new: Number of tokens to add.
        draft_depth: Number of blocks that draft, 0..L - 1, for a single prompt (B = 1); None
            decodes without drafts.
        draft_length: Number of tokens drafted before full depth verifies them.
        draft_confidence: Probability, 0..1, of a drafted token below which full depth verifies at
            once: further tokens after a doubtful one are likely to be discarded.
        stop: Token that ends a text. In a batch, texts that have ended repeat it until all have.
        attention_mask: (B, N), 1 at tokens and 0 at the padding before them; None is all tokens.
            Each prompt is continued as it would be alone.
        temperature: Divisor of the logits before a token is drawn by torch's generator
            (``torch.manual_seed``); 0 takes the most likely token.
        top_p: Share of the probability that the tokens to draw from have together, the likeliest
            first; 1 draws from all.

    Raises:
        ConfigError: The network generates no text, a count or share is out of range, or tokens are
            to be drawn with drafts, which full depth verifies by its most likely token.
        ShapeError: The network has too few positions, there are several prompts with drafts, or
            the mask is of no left-padded prompts.
        DataError: A token is outside the vocabulary.
        DepthError: ``draft_depth`` is outside the network.

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
    if new < 1:
        raise ConfigError(f"new {new} must be at least 1")
    choose = Sampling(temperature, top_p)
    drafts = _Drafts(draft_depth, draft_length, draft_confidence)
    drafts.check(net, len(ids), temperature)
    writer = _writer(net, ids.shape[-1] + new)
    _check_prompt(ids, writer, new)
    lengths = None if attention_mask is None else check_mask(attention_mask, ids)
    with evaluating(net):
        if lengths is None or bool((lengths == ids.shape[1]).all()):
            return _continued(writer, ids, new, stop, choose, drafts)
        made: list[Generated] = []

        def alone(prompts: Tensor) -> Tensor:
            fresh = _writer(net, prompts.shape[1] + new)
            made.append(_continued(fresh, prompts, new, stop, choose, drafts))
            return made[-1].ids

        text = by_length(ids, lengths, new, stop, alone)
        return Generated(text, sum(m.drafted for m in made), sum(m.accepted for m in made))


@dataclass(frozen=True)
class _Drafts:
    """Options of :func:`generate` about drafts; without a depth there are none."""

    depth: int | None
    length: int
    confidence: float

    def check(self, net: Network, prompts: int, temperature: float) -> None:
        if self.length < 1:
            raise ConfigError(f"draft_length {self.length} must be at least 1")
        if not 0 <= self.confidence <= 1:
            raise ConfigError(f"draft_confidence {self.confidence} must be a share between 0 and 1")
        if self.depth is None:
            return
        if temperature:
            raise ConfigError(
                f"drafts are verified by the most likely token, so temperature {temperature} does "
                "not go with draft_depth: leave one of them out"
            )
        if prompts != 1:
            raise ShapeError(f"drafts need one prompt, not {prompts}: generate them one by one")
        if net.check_depth(self.depth) == net.depth:
            raise ShapeError(
                f"drafts need fewer than all {net.depth} blocks: expected a draft_depth of 0 to "
                f"{net.depth - 1}, not {self.depth}"
            )


def _check_prompt(ids: Tensor, writer: _Writer, new: int) -> None:
    if ids.dim() != 2 or ids.dtype.is_floating_point or not ids.numel():
        raise ShapeError(
            f"prompts of shape {tuple(ids.shape)} and type {ids.dtype}; expected integers "
            "(prompts, 1 or more tokens)"
        )
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= writer.vocabulary:
        raise DataError(
            f"the prompt's tokens run from {low} to {high}; the "
            f"vocabulary of this network is 0..{writer.vocabulary - 1}"
        )
    if writer.room is not None and ids.shape[1] + new > writer.room:
        raise ShapeError(
            f"a prompt of {ids.shape[1]} tokens and {new} more; this network has {writer.room} "
            "places"
        )


# -- a network and the tokens it has read ----------------------------------------------------------


class _Writer(Protocol):
    """A network together with the tokens it has read.

    Attributes:
        depth: Number of blocks L.
        room: Largest number of tokens; None if unlimited.
        vocabulary: Size of the vocabulary.
    """

    depth: int
    room: int | None
    vocabulary: int

    def run(
        self, ids: Tensor, place: int, depth: int, *, first: int = 0, state: Any = None
    ) -> tuple[Any, Tensor]:
        """Return state and logits (B, N, V) at ``depth`` of the tokens at positions from ``place``.

        Given their ``state`` at depth ``first``, the blocks below do not run again.
        """

    def last(self, ids: Tensor, place: int) -> Tensor:
        """Return the logits (B, 1, V) after the last of these tokens, at full depth."""

    def forget(self, tokens: int) -> None:
        """Undo the reading of the last tokens."""


def _writer(net: Network, capacity: int) -> _Writer:
    if isinstance(net, Decoder):
        return _OwnWriter(net, capacity)
    if isinstance(net, Converted):
        return _HostWriter(net)
    raise ConfigError(
        f"a {type(net).__name__} generates no text; generate takes a Decoder, or what ac.convert "
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

    The cache keeps all tokens, even if layers attend only to a window of them, because tokens that
    are undone must still be there. The host's masks implement the window.
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
        return self.net.interface.call(self.net.model, inputs)[:, -1:]

    def _inputs(self, ids: Tensor, place: int, first: int) -> dict[str, Any]:
        places = torch.arange(place, place + ids.shape[1], device=ids.device)
        cache = self.cache
        if first:  # the host asks a lower layer, which has read more, for the size of its masks
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
    """Raise ConfigError for a host that does not generate from left to right."""
    host: Any = net.model
    name = type(host).__name__
    if not comes_from(host, "transformers") or not host.can_generate():
        raise ConfigError(
            f"{name} generates no text: it is not a transformers model that can generate"
        )
    if not all(getattr(module, "is_causal", True) for module in net.trunk.modules()):
        raise ConfigError(f"{name} is an encoder: its tokens see those after them")


# -- decoding --------------------------------------------------------------------------------------


def _continued(
    writer: _Writer, ids: Tensor, new: int, stop: int | None, choose: Sampling, drafts: _Drafts
) -> Generated:
    """Return prompts of one length with their continuation."""
    if drafts.depth is None:
        return _plain(writer, ids, new, stop, choose)
    return _drafted(writer, ids, new, stop, drafts.depth, drafts)


def _plain(writer: _Writer, ids: Tensor, new: int, stop: int | None, choose: Sampling) -> Generated:
    unread = ids
    ended = torch.zeros(len(ids), 1, dtype=torch.bool, device=ids.device)
    for _ in range(new):
        unread = choose(writer.last(unread, ids.shape[1] - unread.shape[1])[:, -1])
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
    stop: int | None,
    depth: int,
    drafts: _Drafts,
) -> Generated:
    known, end = ids.shape[1], ids.shape[1] + new
    ids = torch.cat([ids, writer.last(ids, 0).argmax(-1)], dim=1)
    drafted = accepted = 0
    while not _is_over(ids, known, end, stop):
        known = ids.shape[1]
        states, token = [], ids[:, -1:]
        for place in range(known - 1, min(known - 1 + drafts.length, end - 1)):
            state, logits = writer.run(token, place, depth)
            states.append(state)
            token = logits.argmax(-1)
            ids = torch.cat([ids, token], dim=1)
            if drafts.confidence and float(logits.softmax(-1).amax()) < drafts.confidence:
                break
        going_on: dict[str, Any] = {"first": depth, "state": _joined(states)}
        _, logits = writer.run(ids[:, known - 1 : -1], known - 1, writer.depth, **going_on)
        verified = logits.argmax(-1)
        good = int((ids[:, known:] == verified).int().cumprod(1).sum())
        drafted, accepted = drafted + len(states), accepted + good
        if good < len(states):  # drop the first token that full depth rejects, and all after it
            ids = torch.cat([ids[:, : known + good], verified[:, good : good + 1]], dim=1)
            writer.forget(len(states) - good - 1)
    return Generated(_until(ids, known, stop), drafted, accepted)


def _is_over(ids: Tensor, start: int, end: int, stop: int | None) -> bool:
    """Return whether a text is long enough, or contains its stop from ``start`` on."""
    return ids.shape[1] >= end or (stop is not None and bool((ids[0, start:] == stop).any()))


def _until(ids: Tensor, start: int, stop: int | None) -> Tensor:
    """Return a text up to the first stop at or after position ``start``."""
    ends = [] if stop is None else (ids[0, start:] == stop).nonzero().flatten().tolist()
    return ids[:, : start + ends[0] + 1] if ends else ids


def _joined(states: Sequence[Any]) -> Any:
    """Join the states of all these tokens: nested tuples of tensors (B, N, D), or None."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(list(states), dim=1)
    return None if first is None else tuple(_joined(parts) for parts in zip(*states, strict=True))
