"""Text from a decoder: greedy, with a cache, and faster by drafts of its own first layers.

Self-speculative decoding (Elhoushi et al., LayerSkip, 2024; Zhang et al., 2024): the first k blocks
draft tokens through the shared head, full depth verifies them all at once. In a network of long
connections the draft is a prefix of the same running sum, so verification goes on from the drafted
states: no block sees a token twice, and both share one cache. What comes out is what greedy
decoding at full depth gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autocompress.errors import ConfigError, ShapeError
from autocompress.measure.modes import evaluating
from autocompress.models import Decoder

__all__ = ["Generated", "KeyValueCache", "generate"]


class KeyValueCache:
    """Keys and values of every layer, in place; see :class:`autocompress.models.attention.Cache`.

    Args:
        capacity: tokens at most.
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

    def crop(self, length: int) -> None:
        """Forget the tokens after the first ``length``."""
        self._lengths = {layer: min(length, had) for layer, had in self._lengths.items()}


@dataclass(frozen=True)
class Generated:
    """What :func:`generate` returns.

    Attributes:
        ids: (B, N + new) the prompt and what follows it.
        drafted: tokens that were drafted.
        accepted: how many of these full depth would have chosen as well.
    """

    ids: Tensor
    drafted: int = 0
    accepted: int = 0


@torch.no_grad()
def generate(
    net: Decoder, ids: Tensor, new: int, *, draft_depth: int | None = None, draft_length: int = 4
) -> Generated:
    """The likeliest next token, ``new`` times.

    Args:
        net: a decoder.
        ids: (B, N) the prompts, of one length.
        new: how many tokens to add.
        draft_depth: blocks that draft, 0..L - 1; None decodes plainly. For one prompt, B = 1.
        draft_length: tokens that are drafted before full depth looks at them.

    Raises:
        ShapeError: more tokens than the network has places for, or several prompts with drafts.
        DepthError: no such depth. ConfigError: a count below 1.

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
    if draft_depth is not None and (net.check_depth(draft_depth) == net.depth or len(ids) != 1):
        raise ShapeError(
            f"drafts need one prompt, not {len(ids)}, and fewer than all {net.depth} blocks, "
            f"not {draft_depth}"
        )
    length = net.config["length"]
    if ids.shape[1] + new > length:
        raise ShapeError(
            f"a prompt of {ids.shape[1]} tokens and {new} more; this network has {length} places"
        )
    with evaluating(net):
        writer = _Writer(net, ids.shape[1] + new)
        if draft_depth is None:
            return _plain(writer, ids, new)
        return _drafted(writer, ids, new, draft_depth, draft_length)


class _Writer:
    """A decoder and what it has read."""

    def __init__(self, net: Decoder, capacity: int) -> None:
        self.net, self.cache = net, KeyValueCache(capacity)

    def begin(self, ids: Tensor, first: int, depth: int) -> Any:
        """The state of tokens at the places from ``first`` on, at ``depth``."""
        return self.go_on(self.net.trunk.connectivity.begin(self.net.stem(ids, first)), 0, depth)

    def go_on(self, state: Any, first: int, depth: int) -> Any:
        """The state at ``depth`` of tokens whose state is known at depth ``first``."""
        *_, last = self.net.trunk.onwards(state, first, depth, cache=self.cache)
        return last

    def choose(self, state: Any) -> Tensor:
        """(B, N) the likeliest token after each."""
        return self.net.read(state).argmax(-1)


def _plain(writer: _Writer, ids: Tensor, new: int) -> Generated:
    unread, depth = ids, writer.net.depth
    for _ in range(new):
        state = writer.begin(unread, ids.shape[1] - unread.shape[1], depth)
        unread = writer.choose(state)[:, -1:]
        ids = torch.cat([ids, unread], dim=1)
    return Generated(ids)


def _drafted(
    writer: _Writer, ids: Tensor, new: int, draft_depth: int, draft_length: int
) -> Generated:
    depth, end = writer.net.depth, ids.shape[1] + new
    first = writer.go_on(writer.begin(ids, 0, draft_depth), draft_depth, depth)
    ids = torch.cat([ids, writer.choose(first)[:, -1:]], dim=1)
    drafted = accepted = 0
    while ids.shape[1] < end:
        known = ids.shape[1]
        states, token = [], ids[:, -1:]
        for place in range(known - 1, min(known - 1 + draft_length, end - 1)):
            states.append(writer.begin(token, place, draft_depth))
            token = writer.choose(states[-1])
            ids = torch.cat([ids, token], dim=1)
        verified = writer.choose(writer.go_on(_joined(states), draft_depth, depth))
        agree = (ids[:, known:] == verified).int().cumprod(1).sum()
        good = int(agree)
        drafted, accepted = drafted + len(states), accepted + good
        if good < len(states):  # the first token that full depth would not have chosen, and after
            ids = torch.cat([ids[:, : known + good], verified[:, good : good + 1]], dim=1)
            writer.cache.crop(known + good)
    return Generated(ids, drafted, accepted)


def _joined(states: Sequence[Any]) -> Any:
    """One state of all these tokens; a state is tensors (B, N, D) in tuples, None for nothing."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(list(states), dim=1)
    return None if first is None else tuple(_joined(parts) for parts in zip(*states, strict=True))
