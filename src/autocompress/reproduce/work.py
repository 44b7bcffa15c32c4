"""What one job of a claim works with: data by name, networks in folders, the scores before it."""

from __future__ import annotations

import base64
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autocompress.data import DataConfig, Splits, load_data
from autocompress.depth import probe
from autocompress.errors import ConfigError
from autocompress.network import Network, build
from autocompress.pipeline import RunConfig, load_network, train_network
from autocompress.training import training_device
from autocompress.training.progress import read_metrics

__all__ = ["TOLERANCE", "Work", "described", "examine", "locate", "pack", "unpack", "with_new_head"]

#: The rule by which every claim chooses a depth: within half a point of full depth, on validation.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Work:
    """One job, as :meth:`Claim.run` gets it.

    Attributes:
        seed: of weights, order, augmentation and subset.
        folder: the study's; networks lie in it.
        data: where data sets are, ``--data``.
        arm: which arm this is.
        before: the scores of the arms that this one comes after, of the same seed.
    """

    seed: int
    folder: Path
    arm: str
    data: tuple[str, ...] = ()
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def load(self, config: DataConfig) -> Splits:
        """The data set of ``config``, found where ``--data`` says; kept in this process."""
        return _loaded(replace(config, name=locate(config.name, self.data)))

    def seeded(self, config: RunConfig) -> RunConfig:
        """The run with this job's seed in its data, weights and training."""
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
        """Train the network of ``config``, going on where this job was interrupted.

        Args:
            config: the run; see :meth:`seeded`.
            data: None loads those of the run.
            start: train this one, in place; None builds the config's.
            part: a name for each, where a job trains several networks.

        Returns:
            The network, and the seconds that its training took.
        """
        data = self.load(config.data) if data is None else data
        folder = self.home(self.arm, part)
        title = f"{self.arm} {part}".strip() + f", seed {self.seed}"
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

    def network(self, arm: str, part: str = "") -> Network:
        """The network that an earlier arm trained with this seed."""
        return load_network(self.home(arm, part))

    def told(self, seconds: float, part: str = "") -> dict[str, Any]:
        """How the training of :meth:`train` went: epochs, seconds, validation by epoch."""
        records = read_metrics(self.home(self.arm, part))
        return {
            "epochs": len(records),
            "train_seconds": round(seconds, 1),
            "by_epoch": [r["validation"] for r in records if "validation" in r],
        }

    def home(self, arm: str, part: str = "") -> Path:
        """Folder of what an arm trains with this seed: metrics.jsonl, model/."""
        return self.folder / "work" / file_name(arm, self.seed) / part


def file_name(arm: str, seed: int) -> str:
    """How files of a job are called.

    >>> file_name("residual, cut", 0)
    'residual--cut-seed0'
    """
    return "".join(c if c.isalnum() else "-" for c in arm) + f"-seed{seed}"


def examine(net: Network, data: Splits) -> dict[str, Any]:
    """What most claims keep of a trained network: its curve, its cost, its hits.

    The depth is chosen on validation (:data:`TOLERANCE`); test is read for the report. Hits are
    kept where intervals need them: of every depth on validation, of full depth and of the chosen
    one on test.
    """
    validation, test = probe(net, data.validation), probe(net, data.test)
    selected = validation.select(tolerance=TOLERANCE).depth
    return {
        "model": described(net),
        "validation": [round(score, 6) for score in validation.scores],
        "test": [round(score, 6) for score in test.scores],
        "test_loss": [round(loss, 6) for loss in test.losses or []],
        "selected": selected,
        "parameters": validation.parameters,
        "flops": validation.flops,
        "hits": {
            "validation": pack(validation.hits),
            "full": pack(test.hits[:, -1]),
            "cut": pack(test.hits[:, selected]),
        },
        "examples": data.sizes,
    }


def pack(hits: Tensor) -> dict[str, Any]:
    """Booleans of any shape as short JSON.

    Example:
        >>> hits = torch.tensor([[True, False], [False, True]])
        >>> bool((unpack(pack(hits)) == hits).all())
        True
    """
    bits = np.packbits(hits.cpu().numpy().flatten())
    text = base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode()
    return {"shape": list(hits.shape), "bits": text}


def unpack(packed: Mapping[str, Any]) -> Tensor:
    """What :func:`pack` was given."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(packed["bits"])), dtype=np.uint8)
    count = int(np.prod(packed["shape"]))
    return torch.from_numpy(np.unpackbits(raw, count=count)).bool().reshape(packed["shape"])


def locate(name: str, places: Sequence[str]) -> str:
    """Where the data set ``name`` is, by what ``--data`` says.

    Args:
        name: as a claim's settings have it, e.g. ``uoft-cs/cifar10``.
        places: each a folder that holds sets by the last part of their names, or by that of one of
            a collection (``sst2`` of ``nyu-mll/glue:sst2``), or the set itself (its folder bears
            that name), or ``NAME=PLACE``; a place that is none of these stands for every set that
            no other place has. Empty: the hub, or what is bundled.

    Raises:
        ConfigError: several places that could be any set.

    Example:
        >>> locate("uoft-cs/cifar10", ["/data/cifar10"]), locate("digits", [])
        ('/data/cifar10', 'digits')
        >>> locate("uoft-cs/cifar10", ["cifar10=digits"])
        'digits'
        >>> locate("nyu-mll/glue:sst2", ["/data/sst2"])
        '/data/sst2'
    """
    hub, _, part = name.partition(":")
    short = hub.rpartition("/")[2]
    names = [part, short] if part else [short]
    others = []
    for place in places:
        key, equals, value = place.partition("=")
        if equals:
            if key in (name, *names):
                return value
            continue
        if Path(place).name in names:
            return place
        held = [str(Path(place) / known) for known in names if (Path(place) / known).exists()]
        if held:
            return held[0]
        others.append(place)
    loose = [place for place in others if not _is_library(Path(place))]
    if len(loose) > 1:
        raise ConfigError(
            f"--data {' '.join(loose)}: which of them is {name}? Say {names[0]}=PLACE"
        )
    return loose[0] if loose else name


def _is_library(folder: Path) -> bool:
    """A folder of data sets, not of one: it has folders, and no parquet file or split of images."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    one = {"train", "test"} & names or any(n.endswith(".parquet") for n in names)
    return not one


@lru_cache(maxsize=2)
def _loaded(config: DataConfig) -> Splits:
    return load_data(config)


def described(net: Network) -> dict[str, Any]:
    """The arguments that make a network anew, for a job's result."""
    return {"name": net.model_name, **net.config}


def with_new_head(net: Network, classes: int, seed: int) -> Network:
    """The same stem and blocks with a new head of ``classes`` outputs, of images or of texts."""
    torch.manual_seed(seed)
    fresh = build(net.model_name, **{**net.config, "classes": classes})
    for part in ("stem", "trunk"):
        getattr(fresh, part).load_state_dict(getattr(net, part).state_dict())
    fresh.preprocess, fresh.tokenizer = net.preprocess, net.tokenizer
    return fresh
