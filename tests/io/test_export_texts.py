"""Exported texts: any length that the network takes, a mask beside the tokens, half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConfigError, ExportError, ShapeError
from marks import slow_but
from models_table import images, make

IDS = torch.randint(3, 30, (3, 7), generator=torch.Generator().manual_seed(0))


def session(path: Path) -> Any:
    return pytest.importorskip("onnxruntime").InferenceSession(
        path, providers=["CPUExecutionProvider"]
    )


def run(path: Path, **inputs: Tensor) -> Tensor:
    fed = {name: tensor.numpy() for name, tensor in inputs.items()}
    return torch.from_numpy(session(path).run(None, fed)[0])


def encoder(**options: Any) -> ac.Network:
    torch.manual_seed(1)
    sizes = {"depth": 2, "width": 8, "heads": 2, "vocabulary": 30, "length": 12, "classes": 3}
    return ac.models.Encoder(**{**sizes, **options}).eval()


def test_any_length_and_padding_in_the_file(tmp_path: Path) -> None:
    net = encoder()
    check = ac.export(net, tmp_path / "net.pt2", IDS)
    assert check.lengths == (3, 10)
    program = torch.export.load(check.path).module()
    for size, length in ((1, 12), (4, 5), (2, 2)):
        ids = IDS.flatten().repeat(3)[: size * length].view(size, length).clone()
        ids[0, (length + 1) // 2 :] = net.config["pad"]
        torch.testing.assert_close(program(ids), net(ids), atol=1e-5, rtol=0)


def test_a_length_that_the_network_has_no_place_for_is_not_tried(tmp_path: Path) -> None:
    net = encoder(length=8)
    check = ac.export(net, tmp_path / "net.pt2", IDS)
    assert check.lengths == (3,)
    program = torch.export.load(check.path).module()
    assert torch.equal(program(IDS[:, :5]), net(IDS[:, :5]))


def test_a_network_of_one_length_refuses_others_in_the_file(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Embedding(30, 4), nn.Flatten(), nn.Linear(28, 2))
    check = ac.export(net, tmp_path / "net.pt2", IDS)
    assert check.lengths == ()
    with pytest.raises((AssertionError, RuntimeError)):
        torch.export.load(check.path).module()(IDS[:, :5])


@pytest.fixture(scope="module")
def distilled() -> ac.Network:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    config = transformers.DistilBertConfig(
        vocab_size=30,
        dim=16,
        n_layers=2,
        n_heads=2,
        hidden_dim=32,
        num_labels=3,
        max_position_embeddings=24,
    )
    host = transformers.DistilBertForSequenceClassification(config)
    return ac.convert(host, "acn").eval()


MASK = (torch.arange(7) < torch.tensor([7, 4, 2])[:, None]).long()
BOTH = {"input_ids": IDS, "attention_mask": MASK}


def test_a_mask_is_an_input_of_the_file(distilled: ac.Network, tmp_path: Path) -> None:
    check = ac.export(distilled, tmp_path / "net.onnx", BOTH)
    assert [entry.name for entry in session(check.path).get_inputs()] == list(BOTH)
    for length in (7, 13):
        inputs = {
            "input_ids": IDS.repeat(1, 2)[:, :length],
            "attention_mask": (torch.arange(length) < torch.tensor([length, 4, 1])[:, None]).long(),
        }
        with torch.no_grad():
            expected = distilled(inputs)
            plain = distilled({**inputs, "attention_mask": torch.ones_like(inputs["input_ids"])})
        torch.testing.assert_close(run(check.path, **inputs), expected, atol=1e-5, rtol=0)
        assert float((expected - plain).abs().max()) > 1e-3  # the mask matters


def test_measuring_takes_a_mapping(distilled: ac.Network) -> None:
    found = ac.measure(distilled, BOTH, batch_sizes=(2, 5), latency=False)
    plain = ac.measure(distilled, IDS, batch_sizes=(2, 5), latency=False)
    assert (found.flops, found.parameters) == (plain.flops, plain.parameters)
    assert found.peak_memory_bytes > plain.peak_memory_bytes  # the mask is held too
    with pytest.raises(ShapeError, match="rows in different numbers"):
        ac.measure(distilled, {**BOTH, "attention_mask": MASK[:2]})
    with pytest.raises(ConfigError, match="holds no input"):
        ac.measure(distilled, {})
    with pytest.raises(ShapeError, match="does not take inputs"):
        ac.measure(distilled, {"tokens": IDS})


@pytest.mark.parametrize(
    "dtype", slow_but([torch.bfloat16, torch.float16, torch.float64], [torch.bfloat16])
)
def test_other_precisions(dtype: torch.dtype, tmp_path: Path) -> None:
    """Measured, probed and left early with inputs of any precision; exported or refused by name."""
    net = make("mixer", "acn").to(dtype)
    x, labels = images(12), torch.arange(12) % 3
    data = torch.utils.data.TensorDataset(x, labels)
    curve = ac.probe(net, data)
    with torch.no_grad():
        hits = net(x.to(dtype)).argmax(-1) == labels
    assert curve.scores[-1] == pytest.approx(float(hits.double().mean()))
    assert ac.exit_curve(net, data).at(0.0).score == curve.scores[-1]
    assert ac.early_exit(net, x, 0.0).depths.tolist() == [net.depth] * 12
    assert (
        ac.measure(net, x, latency=False).flops == ac.measure(net.float(), x, latency=False).flops
    )
    net.to(dtype)
    assert ac.export(net, tmp_path / "net.pt2", x, tolerance=1e-2).max_abs_difference <= 1e-2
    if dtype == torch.bfloat16:
        with pytest.raises(ExportError, match=r"no bfloat16 on a CPU: export net\.float\(\)"):
            ac.export(net, tmp_path / "net.onnx", x)


VERBS = ["probe", "exit_curve", "fit", "measure", "gradients", "cut", "prune", "sparsity", "save"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_plain_module_is_sent_to_convert(verb: str) -> None:
    data = torch.utils.data.TensorDataset(torch.zeros(4, 2), torch.arange(4) % 2)
    second: dict[str, Any] = {"measure": torch.zeros(4, 2), "cut": 1, "prune": 0.5, "save": "x"}
    others = () if verb == "sparsity" else (second.get(verb, data),)
    with pytest.raises(ConfigError, match=rf"{verb} takes a network.*Linear.*ac\.convert"):
        getattr(ac, verb)(nn.Linear(2, 2), *others)
