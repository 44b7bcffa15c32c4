"""Tokens per second of a decoder: plain, cut, and self-speculative, side by side in one run.

    python benchmarks/generation.py --data ../shared/data
    python benchmarks/generation.py --table

The decoders are those of the study compression's text task and a wider one of the same kind,
trained where runs/compression does not hold them yet, and, as a bound, a GPT-2 of random weights.
Every way goes on with the same prompts in turns; a ratio is the median over rounds of the time of
plain decoding at full depth over that of the way, in the same round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from compression import ROOT, trained
from compression_tasks import TASKS, Task
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

import autocompress as ac
from autocompress.io import write_json
from autocompress.pipeline.summary import environment
from generation_table import GROUPS, RESULT, write_tables

NETWORKS = ("residual", "annealed", "residual, distilled late", "annealed, distilled")
PROMPTS, PROMPT, NEW = 6, 16, 44
#: Draft depths by layers, and with which length and confidence.
DRAFTS = {8: (1, 2, 4), 12: (2, 3, 6)}
HOW = ((2, 0.0), (4, 0.0), (8, 0.0), (8, 0.2), (8, 0.5))


def wide(data: Path) -> Task:
    """Return the text task with 4 x the width, 1.5 x the layers and 2 million tokens."""
    task, batch, steps = TASKS["text"](data), 16, 500

    def build(depth: int, connectivity: Any) -> ac.Network:
        return ac.models.Decoder(
            depth=depth, width=128, vocabulary=128, length=64, connectivity=connectivity
        )

    windows = task.train.dataset
    order = BatchSampler(RandomSampler(windows, num_samples=batch * steps), batch, drop_last=True)
    return replace(
        task,
        name="text-wide",
        depth=12,
        build=build,
        train=DataLoader(windows, batch_size=None, sampler=order),
        examples=batch * steps,
        fit=replace(
            task.fit, epochs=4, batch_size=batch, lr=2e-3, warmup_epochs=0.4, evaluate_every=4
        ),
    )


#: A way of decoding: a network and the options of ``ac.generate``.
Ways = dict[str, tuple[ac.Network, dict[str, Any]]]


def ways(net: ac.Network) -> Ways:
    """Plain, cut to where the drafts come from, and drafts of several lengths."""
    found: Ways = {"plain": (net, {})}
    depths = DRAFTS[net.depth]
    found |= {f"cut at {k}": (net.cut(k), {}) for k in depths[1:]}
    for depth in depths:
        for length, confidence in HOW:
            options = {"draft_depth": depth, "draft_length": length}
            name = f"{depth} of {net.depth} layers draft {length}"
            if confidence:
                options["draft_confidence"] = confidence
                name += f" while {confidence:g} sure"
            found[name] = (net, options)
    return found


def measure(
    found: Ways, prompts: torch.Tensor, new: int, rounds: int, others: dict[str, Callable[..., Any]]
) -> list[dict[str, Any]]:
    """One row a way: tokens per second, ratio to plain, share of drafts accepted.

    Args:
        found: the ways, ``plain`` among them.
        prompts: (P, N), each written for by itself.
        new: tokens each.
        rounds: of all ways in turns.
        others: what else to time, from (prompt, new) to a text.
    """

    def by_us(way: str) -> Callable[[torch.Tensor, int], ac.Generated]:
        net, options = found[way]
        return lambda prompt, count: ac.generate(net, prompt, count, **options)

    calls = {name: by_us(name) for name in found}
    calls |= {name: lambda p, n, f=f: ac.Generated(f(p, n)) for name, f in others.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    texts: dict[str, list[ac.Generated]] = {}
    for _ in range(rounds + 1):  # the first warms up
        for name, call in calls.items():
            start = time.process_time()  # one thread: what the clock of an idle machine shows
            texts[name] = [call(prompt[None], new) for prompt in prompts]
            times[name].append(time.process_time() - start)
    rows = []
    for name in calls:
        drafted = sum(text.drafted for text in texts[name])
        pairs = zip(texts[name], texts["plain"], strict=True)
        turns = list(zip(times["plain"], times[name], strict=True))[1:]
        seconds = statistics.median(way for _, way in turns)
        rows.append(
            {
                "way": name,
                "tokens_per_second": round(len(prompts) * new / seconds, 1),
                "ratio": round(statistics.median(plain / way for plain, way in turns), 3),
                "accepted": round(sum(t.accepted for t in texts[name]) / drafted, 3)
                if drafted
                else None,
                "same_texts": sum(torch.equal(a.ids, b.ids) for a, b in pairs),
            }
        )
    return rows


def measure_trained(task: Task, name: str, seed: int, rounds: int) -> dict[str, Any]:
    """Return a network's loss by depth on test windows, and the speed of every way."""
    prompts = torch.stack([task.test[index * 37][0][:PROMPT] for index in range(PROMPTS)])
    inputs, labels = task.test[torch.arange(0, 3000, 10)]
    net = trained(task, name, seed)
    losses = ac.probe(net, TensorDataset(inputs, labels)).losses or []
    return {
        "group": "narrow" if task.name == "text" else "wide",
        "network": name,
        "seed": seed,
        "losses": [round(loss, 4) for loss in losses],
        "rows": measure(ways(net), prompts, NEW, rounds, {}),
    }


def measure_bound(rounds: int) -> Iterator[dict[str, Any]]:
    """GPT-2's shape with random weights, once with the layers above the drafts silenced.

    There every draft is right: no network gains more. Where every draft is wrong, what is lost is
    seen: the layers above are as they were, and random.
    """
    import transformers

    torch.manual_seed(0)
    host = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    host.generation_config.eos_token_id = None
    net = ac.convert(host, "acn").eval()
    prompts = torch.randint(50257, (1, PROMPT))
    with torch.no_grad():
        for parameter in net.parameters():  # else every depth repeats the last token
            parameter.add_(0.05 * torch.randn_like(parameter))

    def upstream(prompt: torch.Tensor, new: int) -> torch.Tensor:
        text: torch.Tensor = net.model.generate(prompt, max_new_tokens=new, do_sample=False)
        return text

    for name in ("drafts wrong", "drafts right"):
        if name == "drafts right":
            with torch.no_grad():
                for block in net.trunk.blocks[3:]:
                    for parameter in block.parameters():
                        parameter.zero_()
        found = ways(net)
        kept = {way: found[way] for way in found if way.startswith(("plain", "3 of"))}
        rows = measure(kept, prompts, NEW // 2, rounds, {"model.generate": upstream})
        told = {"group": "gpt2", "network": name, "seed": 0, "losses": None}
        yield {**told, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the narrow networks")
    parser.add_argument("--groups", default="; ".join(GROUPS), help="which tables to measure")
    parser.add_argument("--networks", default="; ".join(NETWORKS), help="which narrow ones")
    parser.add_argument("--train", action="store_true", help="train the wide network and leave")
    parser.add_argument("--table", action="store_true", help="write the page's tables and leave")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.train:
        trained(wide(args.data), NETWORKS[-1], seed=0)
        return
    if not args.table:
        groups, names = args.groups.split("; "), args.networks.split("; ")
        for found in measure_groups(groups, names, args.data, args.seed, args.rounds):
            keep(found, args.rounds)
    write_tables()


def measure_groups(
    groups: list[str], names: list[str], data: Path, seed: int, rounds: int
) -> Iterator[dict[str, Any]]:
    """One network after the other."""
    if "narrow" in groups:
        task = TASKS["text"](data)
        for name in names:
            yield measure_trained(task, name, seed, rounds)
    if "wide" in groups:
        yield measure_trained(wide(data), NETWORKS[-1], 0, rounds)
    if "gpt2" in groups:
        yield from measure_bound(rounds)


def keep(found: dict[str, Any], rounds: int) -> None:
    """Put a network's rows into the result, in the place of those it had."""
    networks = json.loads(RESULT.read_text())["networks"] if RESULT.exists() else []
    networks = [n for n in networks if any(n[k] != found[k] for k in ("group", "network"))]
    settings = {"prompts": PROMPTS, "prompt": PROMPT, "new": NEW, "rounds": rounds}
    where = environment(torch.device("cpu"))
    networks.append(found | {"settings": settings, "environment": where})
    order = [*NETWORKS, "drafts wrong", "drafts right"]
    networks.sort(key=lambda n: (GROUPS.index(n["group"]), order.index(n["network"])))
    write_json(RESULT, {"networks": networks})


if __name__ == "__main__":
    main()
