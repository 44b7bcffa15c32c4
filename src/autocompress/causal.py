"""Our own decoder where a transformers model is expected: harnesses, generation loops."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError
from autocompress.extras import import_extra
from autocompress.generation import generate
from autocompress.models import Decoder
from autocompress.network import Network

__all__ = ["as_causal_lm"]


def as_causal_lm(net: Network, eos: int | None = None) -> nn.Module:
    """Return ``net`` as a causal language model of transformers, with the same weights.

    It is called with ``input_ids`` and ``attention_mask``, returns logits and, given ``labels``,
    transformers' loss, and its ``generate`` is :func:`autocompress.generate`. lm-eval takes it:
    ``HFLM(pretrained=as_causal_lm(net), tokenizer=...)``. A converted decoder is one already:
    ``net.model``.

    Args:
        net: A :class:`autocompress.models.Decoder`.
        eos: Token that ends a text, where ``generate`` is told of none.

    Raises:
        ConfigError: It is another network.
        MissingExtraError: transformers is not installed.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.Decoder(depth=2, width=8, vocabulary=9, length=16, heads=2)
        >>> model = as_causal_lm(net)
        >>> model(input_ids=torch.tensor([[1, 2, 3]])).logits.shape
        torch.Size([1, 3, 9])
        >>> model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=2).shape
        torch.Size([1, 5])
    """
    if not isinstance(net, Decoder):
        raise ConfigError(
            f"a {type(net).__name__} is not a Decoder; a converted decoder's net.model is a causal "
            "language model as it is"
        )
    transformers = import_extra("transformers", "transformers", "a transformers model")
    return cast(nn.Module, _class(transformers)(net, eos))


class _Methods:
    """The methods that clients of transformers' causal models call, for a decoder of ours."""

    net: Decoder
    config: Any
    loss_function: Any

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> Any:
        """Return logits (B, N, V); tokens see those before them, so padding goes last."""
        if attention_mask is not None and not bool(attention_mask[:, 0].all()):
            raise ConfigError(
                "this decoder counts positions from the first token on: pad on the right for "
                "logits; generate takes padding on the left"
            )
        logits = self.net(input_ids)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=logits.shape[-1])
        outputs: Any = importlib.import_module("transformers.modeling_outputs")
        return outputs.CausalLMOutput(loss=loss, logits=logits)

    def tie_weights(self, *_: Any, **__: Any) -> None:
        """Do nothing: the decoder has tied what it ties."""

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        do_sample: bool = False,
        temperature: float | None = None,
        top_p: float | None = None,
        eos_token_id: int | None = None,
        **others: Any,
    ) -> Tensor:
        """Continue prompts; see :func:`autocompress.generate`."""
        for name in ("num_beams", "num_return_sequences"):
            if others.get(name, 1) != 1:
                raise ConfigError(f"{name} {others[name]}: this decoder writes one text each")
        if max_new_tokens is None:
            if max_length is None:
                raise ConfigError("set max_new_tokens or max_length")
            max_new_tokens = max_length - input_ids.shape[1]
        text = generate(
            self.net,
            input_ids,
            max_new_tokens,
            attention_mask=attention_mask,
            stop=self.config.eos_token_id if eos_token_id is None else eos_token_id,
            temperature=(temperature or 1.0) if do_sample else 0.0,
            top_p=(top_p or 1.0) if do_sample else 1.0,
        ).ids
        return _stopped(text, input_ids.shape[1], others.get("stopping_criteria"))


@cache
def _class(transformers: Any) -> Any:
    """Make the class, once transformers is imported."""

    class CausalLM(_Methods, transformers.PreTrainedModel):  # type: ignore[misc]
        """A decoder behind transformers' interface."""

        config_class = transformers.PretrainedConfig
        main_input_name = "input_ids"

        def __init__(self, net: Decoder, eos: int | None) -> None:
            config = transformers.PretrainedConfig(
                vocab_size=net.config["vocabulary"],
                max_position_embeddings=net.config["length"],
                hidden_size=net.config["width"],
                num_hidden_layers=net.depth,
                tie_word_embeddings=False,
                eos_token_id=eos,
            )
            super().__init__(config)
            self.net = net

    return CausalLM


def _stopped(text: Tensor, start: int, criteria: Any) -> Tensor:
    """Return texts up to where transformers' stopping criteria would have ended them all."""
    for end in range(start + 1, text.shape[1] if criteria else 0):
        if bool(torch.as_tensor(criteria(text[:, :end], None)).all()):
            return text[:, :end]
    return text
