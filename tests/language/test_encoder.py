"""The encoder: padding, heads, and that it is one network at every depth."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, ShapeError
from models_table import depths_of

RULES = ["acn", "residual", {"name": "plane", "short": 0.3, "long": 0.7}]
every_rule = pytest.mark.parametrize("rule", RULES, ids=["acn", "residual", "hybrid"])
every_head = pytest.mark.parametrize("classes", [None, 3])


def encoder(rule: object = "acn", seed: int = 0, **options: object) -> ac.models.Encoder:
    torch.manual_seed(seed)
    arguments = {"depth": 4, "width": 16, "vocabulary": 30, "length": 8, "heads": 2}
    net = ac.models.Encoder(**{**arguments, "connectivity": rule, **options})  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net.eval()


def padded(short: int = 5) -> torch.Tensor:
    """Two rows of 8 tokens; the second is padding from ``short`` on."""
    ids = torch.randint(1, 30, (2, 8), generator=torch.Generator().manual_seed(1))
    ids[1, short:] = 0
    return ids


@every_rule
@every_head
def test_cut_equals_readout_equals_early_stop(rule: object, classes: int | None) -> None:
    net, ids = encoder(rule, classes=classes), padded()
    for depth, readout in depths_of(net, ids):
        assert torch.equal(readout, net(ids, depth=depth))
        assert torch.equal(readout, ac.cut(net, depth)(ids))


@every_rule
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_padding_changes_nothing(rule: object, norm: str) -> None:
    """At every depth a text is what it is without the padding behind it."""
    net, ids = encoder(rule, norm=norm), padded()
    for long, short in zip(net.readouts(ids), net.readouts(ids[1:, :5]), strict=True):
        torch.testing.assert_close(long[1, :5], short[0], atol=1e-5, rtol=1e-5)
    classifier = encoder(rule, norm=norm, classes=3)
    torch.testing.assert_close(classifier(ids)[1], classifier(ids[1:, :5])[0])


def test_weights_start_with_the_deviation_asked_for() -> None:
    """Linear maps only; the embeddings, the norms and the biases are as ever."""
    shape = {"depth": 2, "width": 64, "vocabulary": 500, "length": 8, "classes": 64}
    for std in (0.02, 0.125):
        torch.manual_seed(0)
        net = ac.models.Encoder(**shape, weight_std=std)  # type: ignore[arg-type]
        linear = [m.weight for m in net.modules() if isinstance(m, torch.nn.Linear)]
        assert len(linear) == 2 * 4 + 2
        assert all(float(w.detach().std()) == pytest.approx(std, rel=0.05) for w in linear)
        assert float(net.stem.tokens.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_real_tokens_do_change_something() -> None:
    net, ids = encoder(), padded(short=8)
    other = ids.clone()
    other[1, 7] = ids[1, 7] % 29 + 1
    assert not torch.allclose(net(ids)[1, 0], net(other)[1, 0])


def test_a_row_of_padding_alone_is_no_accident() -> None:
    assert encoder()(torch.zeros(2, 8, dtype=torch.long)).isfinite().all()


def test_the_readout_of_an_acn_is_the_plain_sum_of_normalised_layers() -> None:
    """Paper, section 3: the norm of BERT's layers stays, and the sum has none of its own."""
    net, ids = encoder(), padded(short=8)
    x = net.stem(ids)
    total = x
    for block in net.trunk.blocks:
        attention, mlp = block.branches
        h = attention.post(attention.body(x))
        x = mlp.post(mlp.body(h))
        total = total + x
    expected = net.head.transform(total) @ net.stem.tokens.weight.T + net.head.bias
    torch.testing.assert_close(net(ids), expected, atol=1e-5, rtol=1e-5)


def test_tied_words_stay_tied(tmp_path: Path) -> None:
    net = encoder()
    ac.save(net.cut(2), tmp_path / "net")
    for one in (net, net.cut(2), ac.load(tmp_path / "net")):
        assert one.head.words is one.stem.tokens.weight
    untied = encoder(tied=False)
    assert untied.head.words is not untied.stem.tokens.weight
    assert ac.measure(untied, padded(), (1,), latency=False).parameters == (
        ac.measure(net, padded(), (1,), latency=False).parameters + 30 * 16
    )


def test_a_classifier_of_a_pretrained_encoder() -> None:
    net, ids = encoder(), padded()
    new = net.classifier(3).eval()
    assert new(ids).shape == (2, 3)
    assert new.config == net.config | {"classes": 3}
    for mine, theirs in zip(new.states(ids), net.states(ids), strict=True):
        rule = net.trunk.connectivity
        assert torch.equal(rule.readout(mine.inner), rule.readout(theirs.inner))
    with pytest.raises(ConfigError, match="classifies already, 3 classes"):
        new.classifier(2)


def test_compiled_and_exported(tmp_path: Path) -> None:
    net, ids = encoder(classes=3, depth=2), padded()
    one_graph = torch.compile(net, backend="eager", fullgraph=True)
    assert torch.equal(one_graph(ids), net(ids))
    check = ac.export(net.cut(1), tmp_path / "net.onnx", ids)
    assert check.max_abs_difference < 1e-4


def test_bert_base_has_the_parameters_of_bert_base() -> None:
    """transformers' BertForMaskedLM has 109,514,298, of which 2 x 768 are token types."""
    with torch.device("meta"):
        net = ac.models.Encoder(
            depth=12, width=768, vocabulary=30522, length=512, heads=12, connectivity="residual"
        )
    assert sum(p.numel() for p in net.parameters()) == 109_514_298 - 2 * 768


def test_what_it_does_not_take() -> None:
    with pytest.raises(ConfigError, match="pad 30 is not a token of a vocabulary of 30"):
        encoder(pad=30)
    with pytest.raises(ShapeError, match=r"integers \(batch, 1..8\)"):
        encoder()(torch.zeros(1, 9, dtype=torch.long))
