"""The one table of networks that the core tests run through: connectivity x model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch

import autocompress as ac
from marks import slow_but

DEPTH, WIDTH = 4, 8

CONNECTIVITIES: dict[str, Any] = {
    "ffn": "ffn",
    "residual": "residual",
    "acn": "acn",
    "acn-inner": {"name": "acn", "inner": 1.0},
    "hybrid": {"name": "plane", "short": 0.3, "long": 0.7},
    "per-layer": {"name": "plane", "short": [1.0, 0.5, 0.2, 0.0], "long": [0.0, 0.5, 0.8, 1.0]},
    "scheduled": {"name": "plane", "short": 0.4, "long": 0.6, "gates": "scheduled"},
    "learned": {"name": "plane", "short": 0.4, "long": 0.9, "gates": "learned"},
    "hacn": "hacn",
    "per-channel": {"name": "plane", "short": 0.4, "long": 0.9, "gates": "learned", "channels": 8},
}

#: Rules outside the plane.
RIVALS: dict[str, Any] = {
    "denseformer": "denseformer",
    "hyper": {"name": "hyper", "streams": 3},
    "dense": {"name": "dense", "channels": WIDTH, "inner": 1.0},
    "detached": "detached",
    "detached-inner": {"name": "detached", "inner": 1.0},
    "input-fed": {"name": "input_fed", "inner": 1.0},
    "input-fed-hybrid": {"name": "input_fed", "input": 0.5, "short": 1.0, "long": [1, 0, 0.5, 1]},
}

MODELS: dict[str, Callable[..., ac.Network]] = {
    "mlp": ac.models.MLP,
    "mlp-post": lambda **kw: ac.models.MLP(norm="post", **kw),
    "mixer": ac.models.Mixer,
    "mixer-authors": lambda **kw: ac.models.Mixer(end_stage=True, pool="class", **kw),
    "vit": lambda **kw: ac.models.ViT(heads=2, **kw),
    "vit-post": lambda **kw: ac.models.ViT(heads=2, norm="post", pool="mean", **kw),
    "vit-authors": lambda **kw: ac.models.ViT(
        heads=2, dirac=True, late_scale=True, out_norm=True, embedding_std=1.0, **kw
    ),
    "branched": lambda depth, connectivity, **kw: ac.models.Branched(
        "mixer", kw, branches=[1, 3], depth=depth, connectivity=connectivity
    ),
    "decoder": lambda **kw: ac.models.Decoder(heads=2, **_of_tokens(kw)),
    "decoder-post": lambda **kw: ac.models.Decoder(heads=2, norm="post", **_of_tokens(kw)),
    "encoder": lambda **kw: ac.models.Encoder(heads=2, **_padded(kw)),
    "encoder-pre": lambda **kw: ac.models.Encoder(heads=2, norm="pre", tied=False, **_padded(kw)),
}

#: Size of the token models' vocabulary, and tokens that an input has.
VOCABULARY, TOKENS = 9, 6
#: What stands in the names of models that read token ids.
_TOKEN_MODELS = ("decoder", "encoder")


def reads_tokens(model: str) -> bool:
    return model.split("-")[0] in _TOKEN_MODELS


def _of_tokens(arguments: dict[str, Any]) -> dict[str, Any]:
    """The table's arguments for a model that reads tokens instead of images."""
    kept = {k: v for k, v in arguments.items() if k not in ("classes", "image_size", "channels")}
    return {"vocabulary": VOCABULARY, "length": TOKENS, **kept}


def _padded(arguments: dict[str, Any]) -> dict[str, Any]:
    """With a token for padding, which stands in no input of this table."""
    return {**_of_tokens(arguments), "vocabulary": VOCABULARY + 1, "pad": VOCABULARY}


every_model = pytest.mark.parametrize("model", MODELS)
every_rival = pytest.mark.parametrize("rival", RIVALS)
every_connectivity = pytest.mark.parametrize("connectivity", CONNECTIVITIES)

#: All models with every rule of the plane; `make test` tries each of either once.
every_pair = pytest.mark.parametrize(
    ("model", "connectivity"),
    slow_but(
        list(product(MODELS, CONNECTIVITIES)),
        [*((model, "acn") for model in MODELS), *(("mlp", rule) for rule in CONNECTIVITIES)],
    ),
)


def make(model: str, connectivity: str, seed: int = 0, **options: Any) -> ac.Network:
    """A tiny network of the table for 4x4 grey images and 3 classes, with weights from ``seed``.

    Gates and biases are drawn too, so that no term of an equation hides behind a zero.
    """
    torch.manual_seed(seed)
    arguments = {"depth": DEPTH, "width": WIDTH, "classes": 3, "image_size": 4, "channels": 1}
    arguments |= options
    rule = (CONNECTIVITIES | RIVALS)[connectivity]
    if isinstance(rule, dict) and "channels" in rule:
        rule = {**rule, "channels": arguments["width"]}
    net = MODELS[model](connectivity=rule, **arguments)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim == 1 and "gates" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return net.eval()


def inputs(model: str, batch: int = 3, seed: int = 1) -> torch.Tensor:
    """What a model of the table takes: images, or token ids (batch, TOKENS)."""
    if not reads_tokens(model):
        return images(batch, seed)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY, (batch, TOKENS), generator=generator)


def images(batch: int = 3, seed: int = 1) -> torch.Tensor:
    """(batch, 1, 4, 4) of noise."""
    return torch.randn(batch, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def depths_of(net: ac.Network, x: Any) -> list[tuple[int, torch.Tensor]]:
    """(k, readout) of every depth: a loop over them that ran over none would prove nothing."""
    found = list(enumerate(net.readouts(x)))
    assert len(found) == net.depth + 1
    return found
