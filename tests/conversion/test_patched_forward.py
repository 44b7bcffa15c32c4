"""A host whose forward was replaced on the object converts, and its depths are still its own."""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, ConvertError
from hosts import batch, host


def as_method(module: Any) -> None:
    """As accelerate does for mixed precision: the class's function in another, bound again."""
    call = module.forward.__func__

    @functools.wraps(call)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call(self, *args, **kwargs)

    module.forward = MethodType(forward, module)


def as_itself(module: Any) -> None:
    """As sentence-transformers' AdaptiveLayerLoss leaves a module behind."""
    module.forward = module.forward


def as_hook(module: Any) -> None:
    """As accelerate's hooks do."""
    module.old_forward = module.forward

    def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
        return module.old_forward(*args, **kwargs)

    module.forward = functools.partial(forward, module)


def as_function(module: Any) -> None:
    call = module.forward
    module.forward = lambda *args, **kwargs: call(*args, **kwargs)


@pytest.mark.parametrize("patch", [as_method, as_itself, as_hook])
@pytest.mark.parametrize("path", ["", "deberta", "whole"])
@torch.no_grad()
def test_depths_of_a_patched_host(patch: Any, path: str) -> None:
    plain, inputs = host("hf-deberta-v2"), batch(host("hf-deberta-v2"))
    expected = ac.convert(plain, "acn")
    wanted = expected.model(**inputs, output_hidden_states=True)
    depths = [expected(inputs, depth=k) for k in range(expected.depth + 1)]

    for before in (True, False) if path != "whole" else (False,):
        own = host("hf-deberta-v2")
        if before:
            patch(own.get_submodule(path))
        assert torch.equal(ac.convert(own, "residual")(inputs), plain(**inputs).logits)
        net = ac.convert(own, "acn")
        if not before:
            patch(net if path == "whole" else net.model.get_submodule(path))
        assert list(map(torch.equal, net.readouts(inputs), depths)) == [True] * len(depths)
        for k, logits in enumerate(depths):
            assert torch.equal(ac.cut(net, k)(inputs), logits), (before, k)
        if patch is not as_hook:
            shown = net.model(**inputs, output_hidden_states=True).hidden_states
            assert all(map(torch.equal, shown, wanted.hidden_states))
        if before:
            restored = ac.restore(ac.convert(own, "residual"))
            assert torch.equal(restored(**inputs).logits, plain(**inputs).logits)


@torch.no_grad()
def test_a_patched_network_of_our_own_is_cut() -> None:
    net = ac.models.Mixer(depth=3, width=8, classes=2)
    as_method(net)
    x = net.example(2)
    assert torch.equal(ac.cut(net, 1)(x), list(net.readouts(x))[1])


@torch.no_grad()
def test_a_function_in_its_place_is_refused() -> None:
    plain = host("timm-vit")
    net = ac.convert(plain, "acn")
    x = batch(plain)["x"]
    as_function(plain)
    with pytest.raises(ConvertError, match="replaced on the object"):
        ac.convert(plain)
    as_function(net.model)
    with pytest.raises(ConfigError, match="at every depth"):
        ac.cut(net, 2)
    with pytest.raises(ConfigError, match="at every depth"):
        net(x, depth=2)
