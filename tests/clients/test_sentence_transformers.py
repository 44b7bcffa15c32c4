"""A SentenceTransformer converts as it is, and saves and loads as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import autocompress as ac

sentences = pytest.importorskip(
    "sentence_transformers", reason="sentence-transformers is not installed (extra: clients)"
)

TEXTS = ["a b c", "d", "b b a"]


@pytest.fixture
def plain(tmp_path: Path) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=9,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
    )
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"]
    transformers.BertModel(config).save_pretrained(tmp_path / "base")
    transformers.BertTokenizer(vocab={w: i for i, w in enumerate(words)}).save_pretrained(
        tmp_path / "base"
    )
    return sentences.SentenceTransformer(str(tmp_path / "base"))


def encoded(model: Any) -> torch.Tensor:
    found: torch.Tensor = model.encode(TEXTS, convert_to_tensor=True)
    return found


@pytest.mark.filterwarnings("ignore")
def test_it_encodes_cuts_saves_and_probes(plain: Any, tmp_path: Path) -> None:
    net = ac.convert(plain, "residual")
    assert torch.equal(encoded(net.model), encoded(plain))
    acn = ac.convert(plain, "acn")
    assert not torch.allclose(encoded(acn.model), encoded(plain))
    small = ac.cut(acn, 2)
    small.model.save(str(tmp_path / "small"))
    again = sentences.SentenceTransformer(str(tmp_path / "small"))
    assert torch.equal(encoded(again), encoded(small.model))
    assert again[0].model.config.num_hidden_layers == 2
    assert type(ac.restore(net)[0].model) is transformers.BertModel

    inputs = plain.preprocess(TEXTS)
    wanted = encoded(plain).clone()
    data = [
        {k: inputs[k][n] for k in ("input_ids", "attention_mask")} | {"labels": wanted[n]}
        for n in range(len(TEXTS))
    ]
    curve = ac.probe(net, data, score=torch.cosine_similarity)
    torch.testing.assert_close(torch.tensor(curve.scores[-1]), torch.tensor(1.0))
    assert curve.scores[0] < 1


@pytest.mark.filterwarnings("ignore")
def test_their_loss_of_layers_is_plains_for_a_residual_network(plain: Any) -> None:
    """AdaptiveLayerLoss reads the hidden state of every layer."""
    from sentence_transformers.sentence_transformer import losses

    def trained(model: Any) -> tuple[float, list[bool]]:
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        loss = losses.AdaptiveLayerLoss(
            model, losses.CoSENTLoss(model), n_layers_per_step=-1, kl_temperature=0
        )
        features = [model.preprocess([text, text[::-1]]) for text in ("a b", "c d")]
        value = loss(features, torch.tensor([0.1, 0.9]))
        value.backward()
        layers = model[0].model.encoder.layer
        parts = getattr(layers, "blocks", layers)
        return float(value), [next(part.parameters()).grad is not None for part in parts]

    net = ac.convert(plain, "residual")
    expected, moved = trained(plain)
    assert trained(net.model) == (pytest.approx(expected, abs=1e-6), moved)
    assert moved == [True] * 3
