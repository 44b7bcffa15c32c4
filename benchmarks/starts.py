"""Time from the start of a process to its first optimizer step, of ``acn train`` and of others.

Run as a program it is that process: ``starts.py acn OUTPUT`` trains the network of the demo,
``starts.py script`` does by hand what is needed for the same network and data, ``starts.py torch``
only imports torch. Each ends at once, after the first step.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

__all__ = ["by_hand", "start"]


def start(*words: str) -> None:
    """Run a process to its first step."""
    subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True)


def stop(*_: object) -> None:
    """End the process without cleaning up."""
    os._exit(0)


def by_hand() -> None:
    """Train the network of recipes/digits.yaml as a short script does."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    class Mix(nn.Module):
        def __init__(self, size: int, hidden: int, across: bool) -> None:
            super().__init__()
            self.norm, self.drop, self.across = nn.LayerNorm(64), nn.Dropout(0.1), across
            self.expand, self.contract = nn.Linear(size, hidden), nn.Linear(hidden, size)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.norm(x)
            h = h.transpose(1, 2) if self.across else h
            h = self.contract(nn.functional.gelu(self.expand(h)))
            return self.drop(h.transpose(1, 2) if self.across else h)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.channels = Mix(16, 32, True), Mix(64, 256, False)
            self.linear, self.norm = nn.Linear(64, 64), nn.LayerNorm(64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.channels(self.tokens(x))
            return self.norm(nn.functional.relu(self.linear(h) + x))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(1, 64, 2, stride=2)
            self.layers = nn.ModuleList(Layer() for _ in range(12))
            self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.embed(x).flatten(2).transpose(1, 2)
            total = x
            for layer in self.layers:
                x = layer(x)
                total = total + x
            return self.head(self.norm(total).mean(1))

    x, y = load_digits(return_X_y=True)
    chosen = torch.randperm(len(x))[:1149]
    images = torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8)[chosen] / 16
    data = TensorDataset(images, torch.tensor(y)[chosen])
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=6e-3, weight_decay=0.05)
    for a, b in DataLoader(data, 64, shuffle=True):
        share, other = torch.rand(()), torch.randperm(len(a))  # mixup
        out = net(share * a + (1 - share) * a[other])
        losses = [
            nn.functional.cross_entropy(out, labels, label_smoothing=0.1)
            for labels in (b, b[other])
        ]
        (share * losses[0] + (1 - share) * losses[1]).backward()
        optimizer.step()


def main(what: str, *more: str) -> None:
    """Be the process that is timed."""
    import torch

    if what == "torch":
        stop()
    from torch.optim.optimizer import register_optimizer_step_post_hook

    torch.set_num_threads(1)
    register_optimizer_step_post_hook(stop)
    if what == "script":
        by_hand()
    from autocompress.cli import main as acn

    recipe = str(ROOT / "recipes" / "digits.yaml")
    raise SystemExit(acn(["train", "--config", recipe, "--quiet", "--output", more[0]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
