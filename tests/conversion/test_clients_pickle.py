"""Converted networks in pickles: other processes, files, copies, and skeletons without memory."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConfigError
from hosts import HOSTS, batch, every_kind, host, output
from marks import slow_but

if not hasattr(torch.ops.torchvision, "nms"):  # in new processes, which import this file only
    import conftest  # noqa: F401


class Mine(transformers.BertForSequenceClassification):
    """A user's own class on transformers' layers, with something of its own."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)
        out.logits = out.logits * 2
        return out


class Layer(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.nn.functional.gelu(self.linear(self.norm(x)))


class Own(nn.Module):
    """A network of nobody's library."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = nn.Sequential(*[Layer() for _ in range(3)]), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layers(x))
        return out


def body(layer: Any, x: Tensor, skip: Any) -> Tensor:
    return skip * x + torch.nn.functional.gelu(layer.linear(layer.norm(x)))


def mine() -> Any:
    torch.manual_seed(0)
    config = copy.deepcopy(host("hf-bert").config)
    return Mine(config).eval()


def networks() -> dict[str, tuple[Any, Any]]:
    """Converted networks by name, each with a batch."""
    names = ("hf-bert", "hf-llama", "hf-deberta-v2", "hf-whisper", "timm-vit", "timm-swin")
    found: dict[str, tuple[Any, Any]] = {}
    for name in names:
        model = host(name)
        found[name] = (ac.convert(model, "acn"), batch(model))
    learned = {"name": "plane", "short": 0.5, "long": 0.5, "gates": "learned"}
    found["learned"] = (ac.convert(host("hf-gpt2"), learned), batch(host("hf-gpt2")))
    found["subclass"] = (ac.convert(mine(), "acn"), batch(mine()))
    x = torch.randn(4, 8)
    found["graph"] = (ac.convert(Own().eval(), "acn", example=x), {"x": x})
    found["branches"] = (ac.convert(Own().eval(), "acn", branches=body), {"x": x})
    small = ac.cut(found["hf-llama"][0], 2)
    found["cut"] = (small, found["hf-llama"][1])
    return found


NETWORKS = ["hf-bert", "hf-llama", "hf-deberta-v2", "hf-whisper", "timm-vit", "timm-swin"]
NETWORKS += ["learned", "subclass", "graph", "branches", "cut"]


def outputs(nets: dict[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Tensor]]:
    """In another process: what it reads of the networks, back with what they compute there."""
    with torch.no_grad():
        return {name: (net, output(net.model, inputs)) for name, (net, inputs) in nets.items()}


@pytest.fixture(scope="module")
def nets() -> dict[str, tuple[Any, Any]]:
    found = networks()
    assert list(found) == NETWORKS
    return found


@torch.no_grad()
def test_a_new_process_takes_and_returns_them(nets: dict[str, tuple[Any, Any]]) -> None:
    """By pickle, as multi-process training sends them; by cloudpickle, as joblib and Ray do."""

    cloudpickle = pytest.importorskip("cloudpickle")

    class Local(Mine):
        """Of a notebook or a function: cloudpickle sends such a class as its code."""

    local = ac.convert(Local(mine().config).eval(), "acn")
    sent = cloudpickle.dumps(nets | {"local": (local, nets["subclass"][1])})
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(outputs, nets).result()
        cloudy = pickle.loads(pool.submit(outputs_of_bytes, sent).result())
        hosts = {name: (type(net.model), net.rule()) for name, (net, _) in nets.items()}
        assert pool.submit(same, hosts).result() == hosts  # the classes themselves, by their names
        recorded = pool.submit(hidden_states, *nets["hf-llama"]).result()
    for name, (net, inputs) in nets.items():
        again, found = there[name]
        assert type(again.model) is type(net.model)
        assert again.config == net.config
        torch.testing.assert_close(found, output(net.model, inputs))
        torch.testing.assert_close(cloudy[name], found)
        assert torch.equal(output(again.model, inputs), output(net.model, inputs))
    torch.testing.assert_close(cloudy["local"], output(local.model, nets["subclass"][1]))
    # transformers notes by class what a model can record when one is built; there none was
    for one, other in zip(recorded, hidden_states(*nets["hf-llama"]), strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def hidden_states(net: Any, inputs: Any) -> Any:
    states = copy.deepcopy(net).model(**inputs, output_hidden_states=True).hidden_states
    assert len(states) == net.depth + 1
    return states


def outputs_of_bytes(sent: bytes) -> bytes:
    found = {name: value for name, (_, value) in outputs(pickle.loads(sent)).items()}
    return pickle.dumps(found)


def same(value: Any) -> Any:
    return value


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_files_and_copies(name: str, nets: dict[str, tuple[Any, Any]]) -> None:
    net, inputs = nets[name]
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)
    file.seek(0)
    expected = output(net.model, inputs)
    for again in (
        torch.load(file, weights_only=False),
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net, protocol=2)),
    ):
        assert torch.equal(output(again.model, inputs), expected)
        assert not {id(p) for p in again.parameters()} & {id(p) for p in net.parameters()}
        assert again.rule() == net.rule()
        small = ac.cut(again, 1)
        assert torch.equal(output(small.model, inputs), output(ac.cut(net, 1).model, inputs))


def test_classes_and_configs_have_names() -> None:
    import autocompress.transformers as acn

    cls = acn.acn_class(transformers.BertForMaskedLM)
    assert acn.AcnBertForMaskedLM is cls
    assert acn.AcnBertConfig is cls.config_class
    assert pickle.loads(pickle.dumps([cls, cls.config_class])) == [cls, cls.config_class]
    config = pickle.loads(pickle.dumps(cls.config_class(connectivity="hacn")))
    assert (type(config), config.connectivity) == (cls.config_class, "hacn")
    with pytest.raises(AttributeError, match="AcnNothing"):
        _ = acn.AcnNothing


class Further(
    ac.convert("hf:BertModel", arguments=host("hf-bert").config.to_diff_dict()).model.__class__
):  # type: ignore[misc]
    """A user's class on top of an acn class."""


def test_a_subclass_of_an_acn_class_stays_one() -> None:
    model = Further(Further.config_class(**host("hf-bert").config.to_diff_dict())).eval()
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is Further
    assert type(copy.deepcopy(model)) is Further


@pytest.mark.parametrize("name", slow_but(["hf-bert", "graph"], ["graph"]))
@torch.no_grad()
def test_what_comes_from_a_pickle_compiles(name: str, nets: dict[str, tuple[Any, Any]]) -> None:
    net, inputs = nets[name]
    again = pickle.loads(pickle.dumps(net))
    compiled = torch.compile(again.model, fullgraph=True, backend="eager")
    assert torch.equal(output(compiled, inputs), output(net.model, inputs))


@every_kind
@torch.no_grad()
def test_a_skeleton_gets_weights_and_buffers(name: str) -> None:
    """Built on the meta device, then given the weights: positions and rotations are there too."""
    net = ac.convert(host(name), "acn")
    with torch.device("meta"):
        skeleton = ac.convert(HOSTS[name](), "acn")
    skeleton.load_state_dict(net.state_dict(), assign=True)
    assert not any(t.is_meta for t in [*skeleton.parameters(), *skeleton.buffers()])
    inputs = batch(net.model)
    assert torch.equal(output(skeleton.eval().model, inputs), output(net.model, inputs))


def test_a_buffer_that_nobody_can_make_is_named() -> None:
    with torch.device("meta"):
        skeleton = ac.convert(host("timm-vit"), "acn")
        skeleton.model.register_buffer("extra", torch.ones(3), persistent=False)
    with pytest.raises(ConfigError, match="buffer extra is not in any state dict"):
        skeleton.load_state_dict(ac.convert(host("timm-vit"), "acn").state_dict(), assign=True)
