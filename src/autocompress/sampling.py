"""The next token: the most likely one, or one that is drawn; and prompts of several lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autocompress.errors import ConfigError, ShapeError

__all__ = ["Sampling", "by_length", "check_mask"]


@dataclass(frozen=True)
class Sampling:
    """The choice of the next token.

    Args:
        temperature: Divisor of the logits before a token is drawn; 0 takes the most likely.
        top_p: Share of the probability that the likeliest tokens must have together to be drawn
            from (nucleus sampling); 1 draws from all.

    Raises:
        ConfigError: A negative temperature, or a share outside (0, 1].

    Example:
        >>> Sampling()(torch.tensor([[0.0, 2.0, 1.0]]))
        tensor([[1]])
        >>> Sampling(temperature=1.0, top_p=0.5)(torch.tensor([[0.0, 9.0, 1.0]]))
        tensor([[1]])
    """

    temperature: float = 0.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ConfigError(f"temperature {self.temperature} must be 0 or greater")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p {self.top_p} must be a share above 0, at most 1")

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the next tokens (B, 1) for the last logits (B, V); torch's generator draws."""
        if not self.temperature:
            return logits.argmax(-1, keepdim=True)
        logits = logits.float() / self.temperature
        if self.top_p < 1:
            rising, order = logits.sort(-1)
            rest = rising.softmax(-1).cumsum(-1) <= 1 - self.top_p
            rest[..., -1] = False  # the likeliest stays
            logits = logits.masked_fill(rest.scatter(-1, order, rest), float("-inf"))
        return torch.multinomial(logits.softmax(-1), 1)


def check_mask(mask: Tensor, ids: Tensor) -> Tensor:
    """Return the number of tokens of each left-padded prompt, (B,).

    Args:
        mask: (B, N), 1 at tokens and 0 at the padding before them.
        ids: The prompts, (B, N).

    Raises:
        ShapeError: The mask has another shape, or zeros elsewhere than at the beginning of a row.
    """
    if mask.shape != ids.shape:
        raise ShapeError(
            f"attention_mask of shape {tuple(mask.shape)} for prompts of shape {tuple(ids.shape)}"
        )
    kept = mask != 0
    if bool((kept[:, :-1] & ~kept[:, 1:]).any()) or not bool(kept[:, -1:].all()):
        raise ShapeError(
            "attention_mask has zeros after tokens: prompts are continued at their end, so pad "
            "them on the left (tokenizer.padding_side = 'left')"
        )
    return kept.sum(-1)


def by_length(
    ids: Tensor, lengths: Tensor, new: int, stop: int | None, run: Callable[[Tensor], Tensor]
) -> Tensor:
    """Continue left-padded prompts as each would be alone, those of one length together.

    Args:
        ids: The prompts, (B, N).
        lengths: Number of tokens of each, (B,).
        new: Largest number of new tokens.
        stop: Token that fills up texts that have ended.
        run: Continues prompts without padding, (b, n) to (b, n + new or less).

    Returns:
        The prompts as they are padded, with what follows, (B, N + new); shorter if all have ended.
    """
    filler = 0 if stop is None else stop
    follows = ids.new_full((len(ids), new), filler)
    longest = 0
    for length in sorted(set(lengths.tolist())):
        rows = (lengths == length).nonzero().flatten()
        out = run(ids[rows, ids.shape[1] - length :])[:, length:]
        follows[rows, : out.shape[1]] = out
        longest = max(longest, out.shape[1])
    return torch.cat([ids, follows[:, :longest]], dim=1)
