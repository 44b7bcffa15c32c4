"""Compare tokens per second of plain, cut and self-speculative decoding in one run.

    python benchmarks/generation.py --data ../shared/data
    python benchmarks/generation.py --table

The decoders are those of the text task of the study ``compression``, which are trained if
runs/compression does not hold them, a wider one of the same kind, and, as a bound, a GPT-2 with
random weights. All ways of decoding continue the same prompts in turns. A ratio is the median over
the rounds: time of plain decoding at full depth / time of the way.
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
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.io import write_json
from autocompress.network import build
from autocompress.pipeline import load_network
from autocompress.pipeline.summary import environment
from autocompress_studies import Job, StudyRun, Work
from autocompress_studies.runner import run_jobs_of
from autocompress_studies.studies.compression import ROWS, Key
from autocompress_studies.studies.compression_tasks import (
    TASKS,
    CompressionTask,
    TaskData,
    examples_of,
)
from checkout import ROOT
from generation_table import GROUPS, RESULT, write_tables

NETWORKS = ("residual", "annealed", "residual, distilled late", "annealed, distilled")
PROMPTS, PROMPT, NEW = 6, 16, 44
#: Depths of the drafts by number of layers, and their lengths and confidences.
DRAFTS = {8: (1, 2, 4), 12: (2, 3, 6)}
HOW = ((2, 0.0), (4, 0.0), (8, 0.0), (8, 0.2), (8, 0.5))


#: The text task with 4 times the width, 1.5 times the layers and 2 million tokens.
WIDE = replace(
    TASKS["text"],
    depth=12,
    arguments={**TASKS["text"].arguments, "width": 128, "heads": 4},
    steps=500,
    fit=replace(
        TASKS["text"].fit, epochs=4, batch_size=16, lr=2e-3, warmup_epochs=0.4, evaluate_every=4
    ),
)


def narrow(data: Path, name: str, seed: int) -> ac.Network:
    """Return a network of the study; it is trained if runs/compression does not hold it."""
    run = StudyRun("compression", "cpu", ROOT / "runs" / "compression", (seed,), (str(data),))
    jobs = {job.key: job for job in run.jobs()}
    key, needed = Key("text", name), list[Job]()
    after: list[Any] = [key]
    while after:
        needed.insert(0, jobs[after.pop()])
        after += needed[0].after
    run_jobs_of(run, needed)
    return Work(seed, run.folder, key).network(key)


def wide(data: Path) -> ac.Network:
    """Return the wide network, annealed and distilled; it is trained if runs/ does not hold it."""
    folder = ROOT / "runs" / "generation" / "wide"
    if not (folder / "model").exists():
        row, examples = ROWS[NETWORKS[-1]], examples_at(WIDE, data)
        torch.manual_seed(0)
        net = build(WIDE.model, depth=WIDE.depth, connectivity=row.connectivity, **WIDE.arguments)
        ac.fit(net, examples.train, examples.validation, replace(WIDE.fit, **row.fit), run=folder)
        ac.save(net, folder / "model")
    return load_network(folder)


def examples_at(task: CompressionTask, data: Path) -> TaskData:
    """Return the data of a task from the folder of data sets."""
    return examples_of(task, Work(0, ROOT / "runs" / "generation", "text", (str(data),)))


#: A way of decoding: a network and the options of ``ac.generate``.
Ways = dict[str, tuple[ac.Network, dict[str, Any]]]


def ways(net: ac.Network) -> Ways:
    """Return the ways of decoding: plain, cut, and with drafts of several lengths."""
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
    """Return a row for each way: tokens per second, ratio to plain, share of accepted drafts.

    Args:
        found: The ways, including ``plain``.
        prompts: Prompts (P, N), which are continued one by one.
        new: Number of new tokens for each.
        rounds: Number of rounds; in each, all ways take a turn.
        others: Further functions to time, from (prompt, new) to a text, by name.
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
            start = time.process_time()  # with one thread: the time that an idle machine takes
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


def measure_trained(
    group: str, name: str, net: ac.Network, examples: TaskData, seed: int, rounds: int
) -> dict[str, Any]:
    """Return a network's loss by depth on test windows, and the speed of all ways."""
    test = examples.test
    prompts = torch.stack([test[index * 37][0][:PROMPT] for index in range(PROMPTS)])
    inputs, labels = test[torch.arange(0, 3000, 10)]
    losses = ac.probe(net, TensorDataset(inputs, labels)).losses or []
    return {
        "group": group,
        "network": name,
        "seed": seed,
        "losses": [round(loss, 4) for loss in losses],
        "rows": measure(ways(net), prompts, NEW, rounds, {}),
    }


def measure_bound(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the results of a GPT-2 with random weights, which bound those of trained networks.

    With the upper layers set to zero all drafts are right, and no network can gain more. With
    random upper layers all drafts are wrong, which shows the largest loss.
    """
    import transformers

    torch.manual_seed(0)
    host = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    host.generation_config.eos_token_id = None
    net = ac.convert(host, "acn").eval()
    prompts = torch.randint(50257, (1, PROMPT))
    with torch.no_grad():
        for parameter in net.parameters():  # otherwise every depth repeats the last token
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
    parser.add_argument("--seed", type=int, default=0, help="seed of the narrow networks")
    parser.add_argument("--groups", default="; ".join(GROUPS), help="tables to measure")
    parser.add_argument(
        "--networks", default="; ".join(NETWORKS), help="narrow networks to measure"
    )
    parser.add_argument("--train", action="store_true", help="only train the wide network")
    parser.add_argument("--table", action="store_true", help="only write the tables of the page")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.train:
        wide(args.data)
        return
    if not args.table:
        groups, names = args.groups.split("; "), args.networks.split("; ")
        for found in measure_groups(groups, names, args.data, args.seed, args.rounds):
            keep(found, args.rounds)
    write_tables()


def measure_groups(
    groups: list[str], names: list[str], data: Path, seed: int, rounds: int
) -> Iterator[dict[str, Any]]:
    """Yield the results of all networks, one after the other."""
    if "narrow" in groups:
        examples = examples_at(TASKS["text"], data)
        for name in names:
            net = narrow(data, name, seed)
            yield measure_trained("narrow", name, net, examples, seed, rounds)
    if "wide" in groups:
        examples = examples_at(WIDE, data)
        yield measure_trained("wide", NETWORKS[-1], wide(data), examples, 0, rounds)
    if "gpt2" in groups:
        yield from measure_bound(rounds)


def keep(found: dict[str, Any], rounds: int) -> None:
    """Write a network's rows into the results file, in place of its earlier ones."""
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
