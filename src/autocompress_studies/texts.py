"""Masked words, then a task of sentences: the steps that several studies take with texts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from autocompress.data import DataConfig, Splits, TextSplits
from autocompress.depth import probe
from autocompress.io import atomic_file
from autocompress.models.heads import with_new_head
from autocompress.network import Network
from autocompress.pipeline import RunConfig, load_network
from autocompress_studies.results import K, Results
from autocompress_studies.words import spread
from autocompress_studies.work import Work, described, examine, rounded

__all__ = ["MADE_UP", "Tuned", "examine_tuned", "fine_tune", "pretrain"]
__all__ += ["pretrained_loss", "texts"]

#: Name of a set whose texts are generated on the spot, so that a smoke run needs no data.
MADE_UP = "made-up"


def texts(work: Work, config: DataConfig, words: Path | None = None) -> TextSplits:
    """Return the texts of ``config``.

    Args:
        work: The job.
        config: The data; the name :data:`MADE_UP` makes some up.
        words: Folder of a pretrained network, whose tokenizer is used; None trains one.
    """
    if config.name == MADE_UP:
        config = replace(config, name=str(_made_up(work.folder / MADE_UP, config.task)))
    if words is not None:
        config = replace(config, tokenizer=str(words / "model"))
    return cast(TextSplits, work.load(config))


def pretrain(
    work: Work, config: RunConfig, *, part: str = ""
) -> tuple[Network, TextSplits, dict[str, Any]]:
    """Return a network that has learned masked words, its data, and its scores as JSON."""
    data = texts(work, config.data)
    net, seconds = work.train(config, data, part=part)
    curve = probe(net, data.validation)
    scores = {
        "model": described(net),
        "validation": rounded(curve.scores),
        "validation_loss": rounded(curve.losses),
        "parameters": curve.parameters,
        "tokens": config.fit.epochs * len(data.train) * data.length,
        **work.told(seconds, part),
    }
    return net, data, scores


@dataclass(frozen=True)
class Tuned:
    """A network that has learned a task.

    Attributes:
        net: The network with the learning rate that is best on validation.
        rate: The best learning rate.
        scores: The validation score of full depth by learning rate.
        seconds: Duration of all trainings.
        part: The folder of its training, see :meth:`Work.told`.
    """

    net: Network
    rate: float
    scores: dict[str, float]
    seconds: float
    part: str

    def told(self, work: Work) -> dict[str, Any]:
        """Return the record of its training, see :meth:`Work.told`, and its learning rates."""
        told = work.told(self.seconds, self.part)
        return {**told, "rate": self.rate, "rates": self.scores}


def fine_tune(
    work: Work, config: RunConfig, data: Splits, start: Path, rates: Sequence[float]
) -> Tuned:
    """Fine-tune a pretrained network with each learning rate, and keep what validation prefers.

    Args:
        work: The job.
        config: Settings of the fine-tuning.
        data: The task, tokenized as the network needs it.
        start: Folder of the pretrained network, see :meth:`Work.home`.
        rates: Learning rates to try.
    """
    found: list[tuple[float, Tuned]] = []
    scores: dict[str, float] = {}
    for rate in rates:
        part = f"task-{rate:g}"
        run = replace(config, fit=replace(config.fit, lr=rate))
        new = with_new_head(load_network(start), len(data.classes), config.fit.seed)
        net, seconds = work.train(run, data, start=new, part=part)
        score = probe(net, data.validation).scores[-1]
        scores[f"{rate:g}"] = round(score, 6)
        found.append((score, Tuned(net, rate, scores, seconds, part)))
    best = max(found, key=lambda pair: pair[0])[1]
    return replace(best, seconds=sum(tuned.seconds for _, tuned in found))


def examine_tuned(
    work: Work, config: RunConfig, start: Path, rates: Sequence[float]
) -> dict[str, Any]:
    """Fine-tune a pretrained network with a job's seed, and return its scores and its rates.

    The scores are those of :func:`examine` and :meth:`Work.told`; for the arguments, see
    :func:`fine_tune`.
    """
    config = work.seeded(config)
    data = texts(work, config.data, start)
    tuned = fine_tune(work, config, data, start, rates)
    return {**examine(tuned.net, data), **tuned.told(work)}


def pretrained_loss(pretraining: Callable[[K], K]) -> Callable[[Results[K], K], str]:
    """Return a column of a table: the loss on masked words of the network that was fine-tuned.

    Args:
        pretraining: Function that returns the key of the arm that pretrained an arm's network. An
            arm that pretrained its own has the scores of :func:`pretrain` under ``words``.
    """

    def cell(results: Results[K], key: K) -> str:
        words = results.of(pretraining(key)) or results.column(key, "words")
        return spread([run["validation_loss"][-1] for run in words], 2)

    return cell


def _made_up(folder: Path, task: str) -> Path:
    """Write 600 texts of four words, of two kinds, as a corpus or as a table with their kinds."""
    chosen = random.Random(0)
    kinds = [("good", "great", "fine"), ("bad", "poor", "dull")]
    lines = [
        " ".join([*chosen.choices(kinds[i % 2], k=3), chosen.choice(["film", "plot"])])
        for i in range(600)
    ]
    if task == "text-classification":
        path = folder / "task.csv"
        content = "text,label\n" + "".join(f"{line},{i % 2}\n" for i, line in enumerate(lines))
    else:
        path = folder / "corpus.txt"
        content = "\n\n".join(lines)  # an empty line separates texts
    folder.mkdir(exist_ok=True)
    with atomic_file(path) as new:
        new.write_text(content)
    return path
