"""Tokens are drawn as transformers draws them; padded prompts are continued as if alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, ShapeError
from test_generation_hosts import prompt, writer


def ours() -> Any:
    torch.manual_seed(0)
    net = ac.models.Decoder(depth=3, width=16, vocabulary=40, length=64, heads=2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return net.double().eval()


def drawn(net: Any, ids: torch.Tensor, **options: Any) -> torch.Tensor:
    torch.manual_seed(5)
    return ac.generate(net, ids, 12, **options).ids


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.8), (2.0, 0.3)])
def test_the_draws_of_transformers(temperature: float, top_p: float) -> None:
    net, ids = writer("hf-llama"), prompt(batch=3)
    torch.manual_seed(5)
    wanted = net.model.generate(  # type: ignore[operator, union-attr]
        ids, max_new_tokens=12, do_sample=True, temperature=temperature, top_p=top_p, top_k=0
    )
    assert torch.equal(drawn(net, ids, temperature=temperature, top_p=top_p), wanted)
    assert not torch.equal(drawn(net, ids), wanted)


@pytest.mark.parametrize("net", [ours(), writer("hf-llama"), writer("hf-gpt2")], ids=type)
def test_padded_prompts(net: Any) -> None:
    ids = prompt(batch=4)
    mask = torch.ones_like(ids)
    for row, gone in enumerate((0, 3, 5, 3)):
        mask[row, :gone] = 0
    found = ac.generate(net, ids.masked_fill(mask == 0, 7), 9, attention_mask=mask).ids
    assert torch.equal(found[:, :7], ids.masked_fill(mask == 0, 7))
    for row, gone in enumerate((0, 3, 5, 3)):
        alone = ac.generate(net, ids[row : row + 1, gone:], 9).ids
        assert torch.equal(found[row, gone:], alone[0])
    assert torch.equal(
        ac.generate(net, ids, 9, attention_mask=torch.ones_like(ids)).ids, drawn9(net, ids)
    )
    stop = int(found[1, -4])
    ended = ac.generate(net, ids, 9, attention_mask=mask, stop=stop).ids
    for row, gone in enumerate((0, 3, 5, 3)):
        alone = ac.generate(net, ids[row : row + 1, gone:], 9, stop=stop).ids[0, 7 - gone :]
        assert torch.equal(ended[row, 7 : 7 + len(alone)], alone)
        assert bool((ended[row, 7 + len(alone) :] == stop).all())
    one = {"draft_depth": 1, "attention_mask": mask[1:2]}
    drafts = ac.generate(net, ids[1:2], 9, **one)
    assert torch.equal(drafts.ids[:, 3:], found[1:2, 3:])
    assert drafts.drafted > 0


def drawn9(net: Any, ids: torch.Tensor) -> torch.Tensor:
    return ac.generate(net, ids, 9).ids


def test_a_decoder_of_ours_draws_what_its_logits_say() -> None:
    net, ids = ours(), prompt(batch=2)
    found = drawn(net, ids, temperature=1.5, top_p=0.9)
    torch.manual_seed(5)
    by_hand = ids
    for _ in range(12):
        with torch.no_grad():
            logits = net(by_hand)[:, -1].float() / 1.5
        rows = []
        for row in logits.softmax(-1):
            order = row.argsort(descending=True)
            kept = order[(row[order].cumsum(0) - row[order]) < 0.9]
            rows.append(torch.zeros_like(row).scatter(0, kept, row[kept]))
        by_hand = torch.cat([by_hand, torch.multinomial(torch.stack(rows), 1)], 1)
    assert torch.equal(found, by_hand)


def test_what_is_refused() -> None:
    net, ids = ours(), prompt(batch=2)
    right = torch.ones_like(ids)
    right[0, -1] = 0
    hole = torch.ones_like(ids)
    hole[1, 3] = 0
    for mask in (right, hole, torch.zeros_like(ids)):
        with pytest.raises(ShapeError, match="pad them on the left"):
            ac.generate(net, ids, 3, attention_mask=mask)
    with pytest.raises(ShapeError, match="of shape"):
        ac.generate(net, ids, 3, attention_mask=right[:, 1:])
    for options in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            ac.generate(net, ids, 3, **options)
    with pytest.raises(ConfigError, match="does not go with draft_depth"):
        ac.generate(net, ids[:1], 3, draft_depth=1, temperature=0.5)
    with pytest.raises(ShapeError, match="drafts need one prompt"):
        ac.generate(net, ids, 3, draft_depth=1)
