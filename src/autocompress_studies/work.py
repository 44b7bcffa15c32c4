"""The environment of one job: data by name, networks in folders, the scores of earlier arms."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from autocompress.data import DataConfig, Labelled, Splits, load_data
from autocompress.data.places import locate
from autocompress.depth import DepthCurve, probe
from autocompress.io.bits import pack_bits
from autocompress.network import Network
from autocompress.pipeline import RunConfig, build_network, load_network, train_network
from autocompress.training import Hook, Run, fit, training_device
from autocompress.training.progress import read_metrics
from autocompress_studies.results import name_of

__all__ = ["TOLERANCE", "Work", "described", "examine", "file_name", "first", "on_test"]
__all__ += ["rounded", "training_record"]

#: The rule that chooses depths everywhere: within half a percentage point of full depth.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Work:
    """The environment that the ``run`` of a study receives for one job.

    Attributes:
        seed: Seed of weights, order, augmentation and subset.
        folder: Folder of the study, in which networks are kept.
        key: Key of the arm.
        data: Places of data sets, ``--data``.
        before: Scores of the arms that this one comes after, of the same seed.
    """

    seed: int
    folder: Path
    key: Any
    data: tuple[str, ...] = ()
    before: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)

    def load(self, config: DataConfig) -> Splits:
        """Return the data set, found where ``--data`` says; it is kept in this process."""
        return _loaded(replace(config, name=locate(config.name, self.data)))

    def seeded(self, config: RunConfig) -> RunConfig:
        """Return the run with this job's seed in its data, weights and training."""
        return replace(
            config,
            data=replace(config.data, seed=self.seed),
            fit=replace(config.fit, seed=self.seed),
            control=config.control and replace(config.control, seed=self.seed),
        )

    def train(
        self,
        config: RunConfig,
        data: Splits | None = None,
        *,
        start: Network | None = None,
        part: str = "",
    ) -> tuple[Network, float]:
        """Train the network of a run, resuming if this job was interrupted.

        Args:
            config: The run; see :meth:`seeded`.
            data: Its data; None loads them.
            start: Network to train in place; None builds the config's.
            part: A name for each network of a job that trains several.

        Returns:
            The network, and the seconds that its training took.
        """
        data = self.load(config.data) if data is None else data
        folder = self.home(self.key, part)
        title = f"{name_of(self.key)} {part}".strip() + f", seed {self.seed}"
        net, seconds = train_network(
            config,
            data.to(training_device(config.fit)),
            folder,
            resume=True,
            title=title,
            start=start,
            progress=False,
        )
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return net, seconds

    def examined(
        self, config: RunConfig, data: Splits | None = None, *, start: Network | None = None
    ) -> dict[str, Any]:
        """Train the network of a run, with this job's seed, and return its scores.

        They are those of :func:`examine` and :meth:`told`. Data that are given must be of the seed.
        """
        config = self.seeded(config)
        data = self.load(config.data) if data is None else data
        net, seconds = self.train(config, data, start=start)
        return {**examine(net, data), **self.told(seconds)}

    def fitted(
        self,
        config: RunConfig,
        data: Splits,
        *,
        start: Network | None = None,
        hooks: Sequence[Hook] = (),
    ) -> tuple[Network, Run]:
        """Train the network of a run without files, from the beginning: with hooks, or shortly.

        Args:
            config: The run; see :meth:`seeded`.
            data: Its data.
            start: Network to train in place; None builds the config's.
            hooks: Hooks of the training.

        Returns:
            The network, and the record of its training.
        """
        net = build_network(config.model, data, self.seed) if start is None else start
        parts, how = (data.train, data.validation), config.fit
        run = fit(net, *parts, how, augment=config.augment, hooks=hooks, progress=False)
        return net, run

    def network(self, key: Any, part: str = "") -> Network:
        """Return the network that an earlier arm trained with this seed."""
        return load_network(self.home(key, part))

    def told(self, seconds: float, part: str = "") -> dict[str, Any]:
        """Return a record of the training in :meth:`train`: epochs, seconds, validation scores."""
        return training_record(Run(read_metrics(self.home(self.key, part)), seconds))

    def home(self, key: Any, part: str = "") -> Path:
        """Return the folder of what an arm trains with this seed: metrics.jsonl, model/."""
        return self.folder / "work" / file_name(key, self.seed) / part


def training_record(run: Run) -> dict[str, Any]:
    """Return what studies keep of a training: epochs, seconds, validation scores."""
    return {
        "epochs": len(run.history),
        "train_seconds": round(run.seconds, 1),
        "by_epoch": [record["validation"] for record in run.history if "validation" in record],
    }


def file_name(key: Any, seed: int) -> str:
    """Return the name of a job's files.

    >>> file_name(("residual", "cut"), 0)
    'residual--cut-seed0'
    """
    return "".join(c if c.isalnum() else "-" for c in name_of(key)) + f"-seed{seed}"


def examine(net: Network, data: Splits) -> dict[str, Any]:
    """Return the results that most studies keep of a trained network: curve, cost and hits.

    The depth is chosen on validation data (:data:`TOLERANCE`); test data are read for the report.
    Hits are kept where intervals need them: at every depth on validation, at full depth and at the
    chosen one on test.
    """
    validation, test = probe(net, data.validation), probe(net, data.test)
    selected = validation.select(tolerance=TOLERANCE).depth
    return {
        "model": described(net),
        "validation": rounded(validation.scores),
        "test": rounded(test.scores),
        "test_loss": rounded(test.losses),
        "selected": selected,
        "parameters": validation.parameters,
        "flops": validation.flops,
        "hits": {"validation": pack_bits(validation.hits), **_hits(test, selected)},
        "examples": data.sizes,
    }


def on_test(curve: DepthCurve, selected: int) -> dict[str, Any]:
    """Return scores and hits on test data like those of :func:`examine`, of a depth chosen before.

    Args:
        curve: A probe on test data, e.g. with noise.
        selected: The depth that validation data chose.
    """
    return {"test": rounded(curve.scores), **_hits(curve, selected)}


def _hits(curve: DepthCurve, selected: int) -> dict[str, Any]:
    return {"full": pack_bits(curve.hits[:, -1]), "cut": pack_bits(curve.hits[:, selected])}


def first(source: Any, count: int | None) -> Any:
    """Return the first ``count`` labelled examples; None returns all of them."""
    if count is None or not isinstance(source, Labelled) or count >= len(source):
        return source
    return source.select(torch.arange(count))


def rounded(values: list[float] | None, digits: int = 6) -> list[float]:
    """Return scores rounded as they are stored; an empty list for None."""
    return [round(value, digits) for value in values or []]


def described(net: Network) -> dict[str, Any]:
    """Return the arguments that build such a network anew."""
    return {"name": net.model_name, **net.config}


#: The last two data sets by their config as text, since some configs cannot be hashed.
_SETS: dict[str, Splits] = {}


def _loaded(config: DataConfig) -> Splits:
    key = repr(config)
    if key not in _SETS:
        while len(_SETS) > 1:
            del _SETS[next(iter(_SETS))]
        _SETS[key] = load_data(config)
    return _SETS[key]
