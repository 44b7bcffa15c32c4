"""Compare training steps of converted networks with those of the original networks.

    python benchmarks/conversion.py [--quick] [--json FILE]

Calls are timed in turns (A B C A B C ..), and each ratio is the median over neighbouring calls, so
that changes in the machine's speed cancel out. "again" is a second copy of the original: the
distance of its ratio from 1 shows the error of the measurement.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import autocompress as ac
from autocompress.conversion.interfaces import interface_of
from autocompress.measurement import compare, ratio
from autocompress.pipeline.summary import environment

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

#: Source, arguments and batch size by name. The networks are so small that overhead would show.
NETWORKS: dict[str, tuple[str, dict[str, Any], int]] = {
    "ViT-Ti/16 at 64 px (timm)": ("timm:vit_tiny_patch16_224", {"img_size": 64}, 16),
    "BERT, 8 layers of 256": (
        "hf:BertForSequenceClassification",
        {
            "hidden_size": 256,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
        },
        16,
    ),
    "Llama, 8 layers of 256": (
        "hf:LlamaForCausalLM",
        {
            "vocab_size": 1000,
            "hidden_size": 256,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "intermediate_size": 1024,
        },
        16,
    ),
}


class Own(nn.Module):
    """A network of no known library; its layers are split by tracing them."""

    class Layer(nn.Module):
        """A layer that computes x + f(x)."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.body = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x: Tensor) -> Tensor:
            return x + self.body(self.norm(x))

    def __init__(self, width: int = 256, depth: int = 12) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(Own.Layer(width) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def variants(name: str) -> tuple[dict[str, nn.Module], Any]:
    """Return the original twice, the conversions at (1,0) and (0,1), and a batch."""
    torch.manual_seed(0)
    if name == "own, 12 MLP layers of 256":
        original: nn.Module = Own()
        x: Any = torch.randn(256, 256)
        converted = ac.convert(original, "residual", example=x)
    else:
        source, arguments, batch = NETWORKS[name]
        converted = ac.convert(source, "residual", arguments=arguments)
        x = converted.example(batch)
        original = ac.restore(copy.deepcopy(converted))
    acn = copy.deepcopy(converted)
    acn.set_connectivity("acn")
    nets = {
        "original": original,
        "again": copy.deepcopy(original),
        "(1,0)": converted,
        "(0,1)": acn,
    }
    return {key: net.to(DEVICE).train() for key, net in nets.items()}, x.to(DEVICE)


def step_of(net: nn.Module, x: Any) -> Callable[[], None]:
    """Return a function that takes one SGD step; the original is called as its library calls it."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    interface = interface_of(net)

    def step() -> None:
        out = net(x) if isinstance(net, ac.Converted) else interface.call(net, x)
        out.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="measure for only one second per row")
    parser.add_argument("--json", type=Path, help="also write the JSON line to this file")
    args = parser.parse_args()
    names = [*NETWORKS, "own, 12 MLP layers of 256"]
    rows = []
    for name in names[-1:] if args.quick else names:
        nets, x = variants(name)
        steps = {key: step_of(net, x) for key, net in nets.items()}
        times = compare(steps, DEVICE, repeats=500, limit_s=1.0 if args.quick else 90.0)
        row: dict[str, Any] = {"network": name, "step_ms": times["original"].median_ms}
        for key in ("again", "(1,0)", "(0,1)"):
            row[key] = ratio(times[key], times["original"])
        rows.append(row)
    table = Table("network", "step, ms", "original again", "converted (1,0)", "converted (0,1)")
    for row in rows:
        cells = [f"{row[key]:.3f}" for key in ("again", "(1,0)", "(0,1)")]
        table.add_row(row["network"], f"{row['step_ms']:.1f}", *cells)
    console = Console(width=100)
    console.print("Time of a training step, relative to the original network")
    console.print(table)
    line = json.dumps({"rows": rows, "environment": environment(DEVICE)})
    if args.json:
        args.json.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
