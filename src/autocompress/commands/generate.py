"""``acn generate``: continue a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from autocompress.commands.common import Answer, Common, model
from autocompress.data import Tokenizer
from autocompress.errors import ConfigError
from autocompress.generation import generate
from autocompress.pipeline import load_network

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn generate``.

    Args:
        prompt: Beginning of the text.
        ids: Tokens of the beginning, in place of ``prompt``.
        new: Number of tokens to add.
        draft_depth: Number of blocks that draft; empty generates each token at full depth.
        draft_length: Number of tokens drafted before full depth verifies them.
        draft_confidence: Probability, 0..1, of a drafted token below which full depth verifies at
            once.
        stop: Token that ends a text.
        temperature: Divisor of the logits before a token is drawn; 0 takes the most likely.
        top_p: Share of the probability that the tokens to draw from have together, likeliest first.
        seed: Seed of the draws.
    """

    model: str = model()
    prompt: str | None = None
    ids: list[int] | None = None
    new: int
    draft_depth: int | None = None
    draft_length: int = 4
    draft_confidence: float = 0.0
    stop: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.ids is None):
            raise ConfigError(
                "give the beginning of the text: --prompt TEXT, or its tokens, --ids '[5, 12]'"
            )


def run(args: Options) -> Answer:
    """Return the text, or its tokens where the network has no tokenizer."""
    net = load_network(Path(args.model))
    tokenizer = None if net.tokenizer is None else Tokenizer(net.tokenizer)
    if args.ids is None and tokenizer is None:
        raise ConfigError(f"{args.model} has no tokenizer.json: give tokens, --ids '[5, 12]'")
    start = args.ids
    if args.prompt is not None and tokenizer is not None:
        start = tokenizer.encode([args.prompt])[0]
    torch.manual_seed(args.seed)
    found = generate(
        net,
        torch.tensor([start], dtype=torch.long),
        args.new,
        draft_depth=args.draft_depth,
        draft_length=args.draft_length,
        draft_confidence=args.draft_confidence,
        stop=args.stop,
        temperature=args.temperature,
        top_p=args.top_p,
    )
    tokens = found.ids[0].tolist()
    text = None if tokenizer is None else tokenizer.decode(tokens)
    return Answer(str(tokens) if text is None else text, {"ids": tokens, "text": text})
