"""PEFT: adapters before and after conversion, saved with the network or apart."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from hosts import batch, host

peft = pytest.importorskip("peft", reason="peft is not installed (extra: clients)")
pytestmark = pytest.mark.filterwarnings("ignore")

HOSTS = {
    "hf-bert": ("SEQ_CLS", ["query", "value"]),
    "hf-llama": ("CAUSAL_LM", ["q_proj", "v_proj"]),
    "hf-vit": (None, ["q_proj"]),
    "timm-vit": (None, ["qkv"]),
}


def lora(name: str, targets: bool = True) -> Any:
    task, names = HOSTS[name]
    return peft.LoraConfig(
        task_type=task, r=2, init_lora_weights=False, target_modules=names if targets else None
    )


def adapted(model: Any, name: str, targets: bool = True) -> Any:
    torch.manual_seed(3)
    return peft.get_peft_model(copy.deepcopy(model), lora(name, targets)).eval()


def inputs_of(name: str) -> Any:
    found = batch(host(name))
    return found["x"] if name.startswith("timm") else found


@pytest.mark.parametrize("name", HOSTS)
@torch.no_grad()
def test_an_adapted_host_converts_exactly(name: str, tmp_path: Path) -> None:
    plain, x = adapted(host(name), name), inputs_of(name)
    assert ac.plan(plain)
    expected = plain(**batch(host(name)))
    expected = getattr(expected, "logits", expected)
    assert not torch.allclose(expected, ac.convert(host(name), "residual")(x))
    assert torch.equal(ac.convert(plain, "residual")(x), expected)
    net = ac.convert(plain, "acn")
    assert not torch.allclose(net(x), expected)
    for depth, readout in enumerate(net.readouts(x)):
        assert torch.equal(ac.cut(net, depth)(x), readout)
    ac.save(net, tmp_path / "whole")
    again = ac.load(tmp_path / "whole", model=adapted(host(name), name))
    assert torch.equal(again(x), net(x))
    net.model.save_pretrained(tmp_path / "adapters")
    fresh = ac.convert(host(name), "acn")
    apart = peft.PeftModel.from_pretrained(fresh.model, tmp_path / "adapters").eval()
    assert torch.equal(ac.convert(apart)(x), net(x))
    merged = ac.convert(copy.deepcopy(net).model.merge_and_unload())
    torch.testing.assert_close(merged(x), net(x))
    assert merged.rule() == "acn"
    ac.save(merged, tmp_path / "merged")
    torch.testing.assert_close(ac.load(tmp_path / "merged")(x), net(x))


@pytest.mark.parametrize("name", ["hf-bert", "hf-llama"])
def test_loras_own_targets_are_found(name: str) -> None:
    plain = adapted(host(name), name, targets=False)
    ours = adapted(ac.convert(host(name), "acn").model, name, targets=False)
    assert ours.targeted_module_names == plain.targeted_module_names != []


@torch.no_grad()
def test_hidden_states_are_the_hosts_own_through_the_wrapper() -> None:
    """DeBERTa collects them in its own loop, where a trunk has only stand-ins for them."""
    name, words = "hf-deberta-v2", lora("hf-bert")
    words.target_modules = {"query_proj"}
    plain = peft.get_peft_model(host(name), words).eval()
    expected = plain(**batch(host(name)), output_hidden_states=True).hidden_states
    net = ac.convert(plain, "residual")
    found = net.model(**batch(host(name)), output_hidden_states=True).hidden_states
    assert all(map(torch.equal, found, expected))
    assert len(found) == len(expected)


def test_training_changes_the_adapters_alone() -> None:
    net = ac.convert(adapted(host("hf-bert"), "hf-bert"), "acn")
    before = {key: p.detach().clone() for key, p in net.model.named_parameters()}
    rows = [{k: v[n % 2] for k, v in inputs_of("hf-bert").items()} for n in range(8)]
    data = [row | {"labels": n % 5} for n, row in enumerate(rows)]
    ac.fit(net, data, config=ac.FitConfig(epochs=1, batch_size=4), progress=False)
    now = dict(net.model.named_parameters())
    changed = [key for key, value in before.items() if not torch.equal(now[key], value)]
    assert changed
    assert all("lora_" in key or "modules_to_save" in key for key in changed)


@pytest.mark.parametrize("name", ["hf-bert", "timm-vit"])
def test_names_and_pixels_reach_the_record_of_the_host_inside(name: str) -> None:
    net = ac.convert(adapted(host(name), name), "acn")
    assert net.class_names is None
    net.class_names = list("vwxyz")
    inner: Any = net.model.get_base_model()
    assert net.classes == 5
    if name.startswith("timm"):
        net.preprocess = ac.data.ImageInput(mean=(0.1,) * 3, std=(0.2,) * 3).to_json()
        assert inner.pretrained_cfg["label_names"] == list("vwxyz")
        assert inner.pretrained_cfg["mean"] == (0.1, 0.1, 0.1)
    else:
        assert inner.config.id2label == dict(enumerate("vwxyz"))
    net.class_names = None
    assert net.class_names == list("vwxyz")  # as the host records them
