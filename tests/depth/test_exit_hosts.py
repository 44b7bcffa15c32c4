"""Networks of other libraries leave early: every row is the readout at its exit, in order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress.depth.exit_rule import CRITERIA, ExitRule
from autocompress.errors import ConfigError
from hosts import batch, host

NAMES = ["hf-bert", "hf-distilbert", "timm-vit", "timm-mixer", "timm-swin"]


def loud(name: str, rule: str = "acn") -> ac.Converted:
    """A converted network whose predictions differ from example to example and in certainty."""
    net = ac.convert(host(name), rule)
    net.eval()
    heads = [m for m in net.model.modules() if isinstance(m, nn.Linear) and m.out_features < 6]
    with torch.no_grad():
        for scale in (3.0, 1.0):
            _, first, *_ = net.readouts(inputs(net, 13))
            heads[-1].weight.mul_(scale / first.std(0).mean() if scale > 1 else 1)
            heads[-1].bias.sub_(first.mean(0) if scale == 1 else 0)
    return net


def inputs(net: ac.Converted, size: int) -> Any:
    """Random inputs; texts of different lengths, padded."""
    found = batch(net.model, size)
    if "attention_mask" in found:
        for row in range(size):
            found["attention_mask"][row, 2 + row % 5 :] = 0
    if len(found) == 1 and next(iter(found.values())).dim() == 4:
        return next(iter(found.values()))
    return found


def expected(net: ac.Network, x: Any, rule: ExitRule) -> tuple[torch.Tensor, list[int]]:
    """Logits and depths by probing: all readouts first, the choice afterwards."""
    with torch.no_grad():
        readouts = list(net.readouts(x))
    size, memory, rows = len(readouts[0]), None, {}
    for place, depth in enumerate(rule.depths):
        certain, memory = rule.certain(place, readouts[depth], memory)
        for row in range(size):
            if row not in rows and (certain is None or bool(certain[row])):
                rows[row] = depth
    depths = [rows[row] for row in range(size)]
    return torch.stack([readouts[depth][row] for row, depth in enumerate(depths)]), depths


def middle(net: ac.Network, x: Any, criterion: str) -> float:
    """A threshold at which half of them leave at depth 1; two exits in a row for patience."""
    if criterion == "patience":
        return 1.0
    with torch.no_grad():
        _, first, *_ = net.readouts(x)
    values = CRITERIA[criterion].values(first)[0].sort().values
    return float(values[len(values) // 2 - 1 :][:2].mean())


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_readouts_at_their_exit(name: str) -> None:
    """By every criterion, with and without the batch that shrinks."""
    net = loud(name)
    x = inputs(net, 13)
    for criterion in CRITERIA:
        rule = ExitRule.uniform(criterion, [1, 2, net.depth], middle(net, x, criterion))
        logits, depths = expected(net, x, rule)
        for regroup in (None, Never()):
            found = ac.early_exit(net, x, rule, count=False, regroup=regroup)
            assert found.depths.tolist() == depths
            torch.testing.assert_close(found.logits, logits, atol=1e-4, rtol=1e-4)
        assert len(set(depths)) > 1 or criterion == "patience", "a case where it matters"


class Never:
    def pays(self, place: int, size: int, left: int) -> bool:
        return False


def gpt2() -> ac.Converted:
    """Its head reads the last token that is not padding: code after the layers needs the ids."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=40, n_embd=16, n_layer=3, n_head=2, n_positions=16, num_labels=3, pad_token_id=0
    )
    net = ac.convert(transformers.GPT2ForSequenceClassification(config).eval(), "acn")
    with torch.no_grad():
        net.model.score.weight.mul_(30)
    return net


def test_a_head_that_needs_the_inputs_of_its_own_rows() -> None:
    net = gpt2()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 40, (11, 9), generator=generator)
    whole = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    ac.early_exit(net, whole, 0.5, count=False)  # no padding yet: one row would do as well
    for row in range(11):
        ids[row, 2 + row % 6 :] = 0
    x = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    rule = ExitRule.uniform("entropy", [1, 2, 3], middle(net, x, "entropy"))
    logits, depths = expected(net, x, rule)
    found = ac.early_exit(net, x, rule, count=False)
    assert found.depths.tolist() == depths
    assert len(set(depths)) > 1
    torch.testing.assert_close(found.logits, logits, atol=1e-5, rtol=1e-4)


def test_layers_run_for_those_that_are_left() -> None:
    net = loud("hf-bert")
    x, seen = inputs(net, 12), []
    for layer in net.trunk.blocks:
        layer.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    depths = ac.early_exit(net, x, middle(net, x, "entropy"), count=False).depths
    counts = [int((depths >= k).sum()) for k in range(1, int(depths.max()) + 1)]
    assert seen[-len(counts) :] == counts


class OwnHost(nn.Module):
    """torch's encoder: its mask is a square matrix, here as large as the batch."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)
        self.first = batch_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        if self.first:
            return self.head(self.encoder(x, mask=mask).mean(1))
        return self.head(self.encoder(x.transpose(0, 1), mask=mask).mean(0))


def test_a_mask_that_looks_like_a_batch() -> None:
    """7 examples of 7 tokens: the mask (7, 7) belongs to no example."""
    torch.manual_seed(0)
    x = torch.randn(7, 7, 8)
    net = ac.convert(OwnHost().eval(), "residual", example=x)
    with torch.no_grad():
        net.model.head.weight.mul_(9)
    rule = ExitRule.uniform("entropy", [1, 2, 3], middle(net, x, "entropy"))
    logits, depths = expected(net, x, rule)
    found = ac.early_exit(net, x, rule)
    assert found.depths.tolist() == depths
    assert len(set(depths)) > 1
    torch.testing.assert_close(found.logits, logits, atol=1e-5, rtol=1e-4)


def test_what_cannot_leave_is_refused() -> None:
    x = torch.randn(5, 7, 8)
    net = ac.convert(OwnHost(batch_first=False).eval(), "residual", example=x)
    with pytest.raises(ConfigError, match="first dimension is not the batch"):
        ac.early_exit(net, x, 0.5)
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, num_labels=3,
    )  # fmt: skip
    net = ac.convert(transformers.BertForTokenClassification(config).eval(), "acn")
    with pytest.raises(ConfigError, match="one prediction per example"):
        ac.early_exit(net, torch.ones(2, 5, dtype=torch.long), 0.5)
