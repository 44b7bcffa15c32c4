"""Tokens per second of a decoder: plain, cut, and self-speculative, side by side in one run.

    python benchmarks/generation.py --data ../shared/data

The decoders are those of benchmarks/compression.py's text task, trained where runs/compression does
not hold them yet. Every way writes the same prompts in turns; a rate is the median over rounds, and
ratios are against plain decoding of the same network at full depth.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import autocompress as ac
from autocompress.io import write_json
from autocompress.pipeline.summary import environment
from compression import ROOT, trained
from compression_tasks import TASKS

RESULT = ROOT / "benchmarks" / "results" / "generation.json"
NETWORKS = ("residual", "annealed", "residual, distilled late", "annealed, distilled")
PROMPTS, PROMPT, NEW = 8, 16, 44
DRAFTS = [(depth, length) for depth in (1, 2, 4) for length in (2, 4, 8)]


def measure(net: ac.Network, prompts: torch.Tensor, rounds: int) -> list[dict[str, Any]]:
    """One row a way of decoding: tokens per second, ratio to plain, share of drafts accepted."""
    ways: dict[str, tuple[ac.Network, dict[str, int]]] = {"plain": (net, {})}
    ways |= {f"cut at {k}": (net.cut(k), {}) for k in (2, 4)}
    for depth, length in DRAFTS:
        options = {"draft_depth": depth, "draft_length": length}
        ways[f"drafts of {length} by {depth} layers"] = (net, options)
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[ac.Generated]] = {}
    for _ in range(rounds):
        for name, (one, options) in ways.items():
            start = time.perf_counter()
            found[name] = [ac.generate(one, p[None], NEW, **options) for p in prompts]
            times[name].append(time.perf_counter() - start)
    plain = statistics.median(times["plain"])
    rows = []
    for name, (one, _) in ways.items():
        texts = found[name]
        drafted = sum(text.drafted for text in texts)
        if one is net:
            same = all(
                torch.equal(a.ids, b.ids) for a, b in zip(texts, found["plain"], strict=True)
            )
            assert same, f"{name} does not write what plain decoding writes"
        seconds = statistics.median(times[name])
        rows.append(
            {
                "way": name,
                "tokens_per_second": round(len(prompts) * NEW / seconds, 1),
                "ratio": round(plain / seconds, 3),
                "accepted": round(sum(t.accepted for t in texts) / drafted, 3) if drafted else None,
            }
        )
    return rows


def table(networks: list[dict[str, Any]]) -> str:
    """Speed against plain decoding, and drafts accepted, as Markdown."""
    names = [network["network"] for network in networks]
    lines = ["| way | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
    for rows in zip(*(network["rows"] for network in networks), strict=True):
        cells = [
            f"{row['ratio']:.2f} x"
            + ("" if row["accepted"] is None else f" ({100 * row['accepted']:.0f} % accepted)")
            for row in rows
        ]
        lines.append("| " + " | ".join([rows[0]["way"], *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    task = TASKS["text"](args.data)
    prompts = torch.stack([task.test[index * 37][0][:PROMPT] for index in range(PROMPTS)])
    networks = []
    for name in NETWORKS:
        net = trained(task, name, seed=0).double()  # rounding cannot turn a tie then
        networks.append({"network": name, "rows": measure(net, prompts, args.rounds)})
    where = environment(torch.device("cpu"))
    settings = {"prompts": PROMPTS, "prompt": PROMPT, "new": NEW, "rounds": args.rounds}
    write_json(RESULT, {"settings": settings, "environment": where, "networks": networks})
    print(table(networks))


if __name__ == "__main__":
    main()
