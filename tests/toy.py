"""What the training tests train on, and how."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.data import TensorSource


def source(examples: int = 96, seed: int = 0) -> TensorSource:
    """Bytes whose class is the brightest quarter of the image: learnable in seconds."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 90, (examples, 1, 4, 4), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 3, (examples,), generator=generator)
    for image, label in zip(images, labels, strict=True):
        image[0, int(label)] += 150
    return TensorSource(images, labels)


class StopsAfter(TensorSource):
    """A source during whose third pass the user presses Ctrl-C."""

    def __init__(self, inner: TensorSource, epochs: int) -> None:
        super().__init__(inner.images, inner.labels)
        self.left = epochs

    def to(self, device: object) -> StopsAfter:
        return self

    def batches(self, batch_size, order=None):  # type: ignore[no-untyped-def]
        for i, batch in enumerate(super().batches(batch_size, order)):
            if self.left == 0 and i == 1:
                raise KeyboardInterrupt
            yield batch
        self.left -= 1


def config(**options: object) -> ac.FitConfig:
    defaults = {"epochs": 3, "batch_size": 32, "warmup_epochs": 0.5, "lr": 5e-3}
    return ac.FitConfig(**{**defaults, **options})  # type: ignore[arg-type]


def weights(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def quiet_fit(net: ac.Network, *data: object, **options: Any) -> Any:
    return ac.fit(net, *data, progress=False, **options)  # type: ignore[arg-type]


def tokens_seen(net: ac.Network) -> list[int]:
    """How many tokens each block has seen, counted from now on."""
    seen = [0] * net.depth
    for index, block in enumerate(net.trunk.blocks):

        def count(_: Any, args: tuple[torch.Tensor, ...], index: int = index) -> None:
            seen[index] += args[0].shape[1]

        block.register_forward_pre_hook(count)
    return seen


@torch.no_grad()
def silence(net: ac.Network, first: int) -> None:
    """Make the blocks from ``first`` on add nothing."""
    for block in net.trunk.blocks[first:]:
        for parameter in block.parameters():
            parameter.zero_()


def remove_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the extra ``onnx`` missing: a run then ends without small.onnx."""

    def missing(_: object) -> None:
        raise ac.errors.MissingExtraError("onnx", "onnx", "exporting")

    monkeypatch.setattr("autocompress.io.exporting.check_onnx", missing)


def compiles(monkeypatch: pytest.MonkeyPatch, backend: str = "inductor") -> list[Any]:
    """The modes in which torch.compile is called from now on, with a backend to compile with."""
    made: list[Any] = []
    real = torch.compile

    def noting(*args: Any, **options: Any) -> Any:
        made.append(options.get("mode"))
        if backend != "inductor":
            options = {**options, "mode": None, "backend": backend}
        return real(*args, **options)

    monkeypatch.setattr(torch, "compile", noting)
    return made
