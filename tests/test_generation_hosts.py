"""Converted decoders write what their own library writes, plainly and with drafts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, ShapeError
from hosts import DECODERS, DEPTH, host
from marks import slow_but
from models_table import CONNECTIVITIES, RIVALS, make
from toy import silence, tokens_seen

every_decoder = pytest.mark.parametrize("name", DECODERS)

RULES = {**CONNECTIVITIES, **RIVALS}
for _sized in ("per-channel", "dense"):  # their size is that of the table's other networks
    RULES[_sized] = {**RULES[_sized], "channels": 16}


def writer(name: str, connectivity: str = "acn", seed: int = 1) -> ac.Network:
    """In double precision, so that ties are no matter of rounding; of weights that say much."""
    net = ac.convert(host(name, seed), RULES[connectivity])
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    net.model.generation_config.eos_token_id = None  # it writes as much as it is asked for
    return net.double().eval()


def prompt(tokens: int = 7, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(3, 40, (batch, tokens), generator=generator)


def by_its_library(net: ac.Network, ids: torch.Tensor, new: int) -> torch.Tensor:
    text: torch.Tensor = net.model.generate(ids, max_new_tokens=new, do_sample=False)  # type: ignore[operator, union-attr]
    return text


@pytest.mark.parametrize("name", slow_but(DECODERS, ["hf-gpt2", "hf-qwen2"]))
@pytest.mark.parametrize("connectivity", slow_but(["residual", "acn"], ["acn"]))
def test_hosts_write_what_their_library_writes(name: str, connectivity: str) -> None:
    """20 tokens after 7, more than the window of those that have one."""
    net, ids = writer(name, connectivity), prompt()
    wanted = by_its_library(net, ids, 20)
    assert len(wanted[0, 7:].unique()) > 3  # it does not repeat itself
    assert torch.equal(ac.generate(net, ids, 20).ids, wanted)
    found = [
        ac.generate(net, ids, 20, draft_depth=k, draft_length=3, draft_confidence=confidence)
        for k in range(DEPTH)
        for confidence in (0.0, 0.3)
    ]
    assert all(torch.equal(one.ids, wanted) for one in found)
    assert any(one.accepted < one.drafted for one in found)


@pytest.mark.parametrize("connectivity", slow_but(RULES, list(RULES)[::4]))
def test_every_rule_goes_on_from_drafts(connectivity: str) -> None:
    for name in ("hf-gpt2", "hf-llama"):
        net, ids = writer(name, connectivity), prompt()
        wanted = by_its_library(net, ids, 12)
        for depth in (1, 3):
            found = ac.generate(net, ids, 12, draft_depth=depth, draft_length=5)
            assert torch.equal(found.ids, wanted)


@pytest.mark.parametrize("name", ["hf-gpt2", "hf-llama", "hf-qwen3"])
def test_cut_networks_write_as_well(name: str) -> None:
    small, ids = ac.cut(writer(name), 3), prompt()
    wanted = by_its_library(small, ids, 12)
    assert torch.equal(ac.generate(small, ids, 12).ids, wanted)
    assert torch.equal(ac.generate(small, ids, 12, draft_depth=1).ids, wanted)


@pytest.mark.parametrize("name", ["hf-gpt2", "hf-qwen2"])
def test_several_prompts(name: str) -> None:
    net, ids = writer(name), prompt(batch=3)
    assert torch.equal(ac.generate(net, ids, 10).ids, by_its_library(net, ids, 10))


@pytest.mark.parametrize("name", ["hf-gpt2", "hf-llama"])
def test_no_layer_sees_a_token_twice_unless_its_draft_was_wrong(name: str) -> None:
    """Layers above that add nothing: every draft is right, and each layer runs once per token."""
    net = writer(name)
    silence(net, 2)
    seen = tokens_seen(net)
    found = ac.generate(net, prompt(5), 13, draft_depth=2, draft_length=4)
    assert found.accepted == found.drafted == 12
    assert seen == [5 + 12] * DEPTH


def test_hosts_that_write_nothing_are_refused() -> None:
    for name in ("hf-bert", "hf-roberta"):
        with pytest.raises(ConfigError, match="generates no text: it is not a transformers model"):
            ac.generate(ac.convert(host(name)), prompt(), 3)
    with pytest.raises(ConfigError, match="VisionTransformer generates no text"):
        ac.generate(ac.convert(host("timm-vit")), prompt(), 3)
    with pytest.raises(ConfigError, match="a ViT generates no text; generate takes a Decoder"):
        ac.generate(make("vit", "acn"), prompt(), 3)


def test_an_encoder_is_refused() -> None:
    from transformers import BertConfig, BertLMHeadModel

    config: Any = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config |= {"num_hidden_layers": 2, "vocab_size": 40, "pad_token_id": 0}
    net = ac.convert(BertLMHeadModel(BertConfig(**config, is_decoder=False)))
    with pytest.raises(ConfigError, match="is an encoder: its tokens see those after them"):
        ac.generate(net, prompt(), 3)
    net = ac.convert(BertLMHeadModel(BertConfig(**config, is_decoder=True))).double().eval()
    net.model.generation_config.eos_token_id = None
    wanted = by_its_library(net, prompt(), 6)
    assert torch.equal(ac.generate(net, prompt(), 6, draft_depth=1).ids, wanted)


def test_a_text_that_is_too_long() -> None:
    with pytest.raises(ShapeError, match="a prompt of 30 tokens and 3 more; this network has 32"):
        ac.generate(writer("hf-llama"), prompt(30), 3)
