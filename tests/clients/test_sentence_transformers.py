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
@pytest.mark.parametrize("name", ["BertModel", "BertForMaskedLM"])
def test_a_folder_of_ours_with_its_tokenizer_opens(plain: Any, name: str, tmp_path: Path) -> None:
    model = getattr(transformers, name)(plain[0].model.config).eval()
    net: Any = ac.cut(ac.convert(model, "acn"), 2)
    ac.save(net, tmp_path / "net")
    plain.tokenizer.save_pretrained(tmp_path / "net")
    inputs = plain.preprocess(TEXTS)
    mask = inputs["attention_mask"][..., None]
    with torch.no_grad():
        states = net.model.base_model(**inputs).last_hidden_state
    wanted = (states * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(
        encoded(sentences.SentenceTransformer(str(tmp_path / "net"))), wanted
    )


def layer_loss(model: Any, name: str) -> torch.Tensor:
    """A loss of sentence-transformers, alone or over the layers, without dropout."""
    from sentence_transformers.sentence_transformer import losses

    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    loss = losses.CoSENTLoss(model)
    if name == "AdaptiveLayerLoss":
        loss = losses.AdaptiveLayerLoss(model, loss, n_layers_per_step=-1, kl_temperature=0)
    features = [model.preprocess([text, text[::-1]]) for text in ("a b", "c d")]
    value: torch.Tensor = loss(features, torch.tensor([0.1, 0.9]))
    return value


def layer_grads(model: Any) -> tuple[float, list[torch.Tensor]]:
    """AdaptiveLayerLoss, and its gradient in each layer."""
    model.zero_grad()
    value = layer_loss(model, "AdaptiveLayerLoss")
    value.backward()
    layers = model[0].model.encoder.layer
    parts = getattr(layers, "blocks", layers)
    grads = [torch.cat([p.grad.flatten() for p in part.parameters()]) for part in parts]
    return value.item(), grads


@pytest.mark.filterwarnings("ignore")
def test_their_loss_of_layers_trains_the_readouts(plain: Any) -> None:
    """AdaptiveLayerLoss reads the hidden state of every layer: of ours, what a cut would read."""
    expected, grads = layer_grads(plain)
    value, ours = layer_grads(ac.convert(plain, "residual").model)
    assert value == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(ours, grads)

    found = {}
    for kind in ("layers", "readouts"):
        acn = ac.convert(plain, "acn")
        acn.hidden_states_are = kind
        found[kind] = layer_grads(acn.model)
    assert found["layers"][0] != pytest.approx(found["readouts"][0])
    alike = list(map(torch.allclose, found["layers"][1], found["readouts"][1]))
    assert alike == [False, False, True]  # the last layer learns from the whole network's loss only

    acn = ac.convert(plain, "acn")
    values = [layer_loss(ac.cut(acn, depth).model, "CoSENTLoss").item() for depth in range(4)]
    assert found["readouts"][0] == pytest.approx(sum(values[:3]) / 3 + values[3], abs=1e-5)
