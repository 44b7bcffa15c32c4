"""A converted network is called, and asked for its config, as its host is."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConfigError
from hosts import host


def texts() -> dict[str, Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(3, 40, (3, 7))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("name", ["hf-bert", "hf-llama", "hf-distilbert"])
@torch.no_grad()
def test_by_keyword_it_answers_as_the_host_does(name: str) -> None:
    plain, batch = host(name), texts()
    net = ac.convert(plain, "residual")
    if name != "hf-llama":
        expected, found = (model(**batch, output_hidden_states=True) for model in (plain, net))
        assert type(found) is type(expected)
        assert found.keys() == expected.keys()
        assert all(map(torch.equal, found.hidden_states, expected.hidden_states))
    expected, found = plain(**batch), net(**batch)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(net(*batch.values())[0], expected[0])  # in the order of its forward
    assert torch.equal(net(batch["input_ids"], attention_mask=batch["attention_mask"])[0], found[0])
    assert torch.equal(
        net({"input_ids": batch["input_ids"]}, attention_mask=batch["attention_mask"])[0], found[0]
    )
    assert torch.equal(net(batch), expected[0])  # a mapping: logits, as ever
    for depth in (0, 2):
        small = ac.cut(net, depth)
        assert torch.equal(net(**batch, depth=depth)[0], small(**batch)[0])


def test_labels_give_the_hosts_loss_and_its_gradient() -> None:
    plain = host("hf-bert")
    net = ac.convert(plain, "residual")
    labels = torch.tensor([1, 0, 1])
    losses = [model(**texts(), labels=labels).loss for model in (plain, net)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    ours = dict(net.model.named_parameters())
    for key, parameter in plain.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(ours[key].grad, parameter.grad)


def test_config_device_and_dtype_are_the_hosts() -> None:
    net = ac.convert(host("hf-bert"), "acn")
    config = net.model.config
    assert (net.config.hidden_size, net.config.vocab_size) == (config.hidden_size, 40)
    assert (net.device, net.dtype) == (net.model.device, torch.float32)
    assert net.to(torch.bfloat16).dtype == torch.bfloat16
    net.config.use_cache = False
    assert config.use_cache is False
    assert json.loads(json.dumps(net.config))["source"] == net.config["source"]
    small = ac.cut(net, 1)
    assert (small.config.num_hidden_layers, net.config.num_hidden_layers) == (1, net.depth)
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert again.config == net.config
        assert again.config.to_dict() == again.model.config.to_dict()
        again.config.hidden_act = "relu"
        assert config.hidden_act == "gelu"
    timm_net = ac.convert(host("timm-vit"), "acn")
    assert not hasattr(timm_net.config, "hidden_size")


class Two(nn.Module):
    """A host of nobody's library that takes two tensors."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, pad: Tensor | None = None) -> Tensor:
        out: Tensor = self.head(self.encoder(x, src_key_padding_mask=pad)[:, 0])
        return out


@torch.no_grad()
def test_a_host_of_the_users_own_takes_two_tensors() -> None:
    torch.manual_seed(0)
    plain = Two().train()  # in evaluation torch takes another road, whose rounding differs
    x, pad = torch.randn(2, 5, 8), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    net = ac.convert(plain, "residual", example={"x": x, "pad": pad})
    expected = plain(x, pad)
    assert not torch.equal(plain(x), expected)
    assert torch.equal(net(x, pad), expected)
    assert torch.equal(net(x, pad=pad), expected)
    assert torch.equal(net(x), plain(x))
    with pytest.raises(ConfigError, match="Two is not called so.*'mask'"):
        net(x, mask=pad)


def test_the_trainer_says_what_it_takes(tmp_path: Any) -> None:
    net = ac.convert(host("hf-bert"), "acn")
    arguments = transformers.TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)
    with pytest.raises(ConfigError, match=r"Trainer\(model=net.model"):
        transformers.Trainer(model=net, args=arguments)
    assert transformers.Trainer(model=net.model, args=arguments).model is net.model
