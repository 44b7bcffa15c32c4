"""A study: one claim with its settings and seeds, and the folder that keeps what is finished.

What lies in OUT:

- study.json: settings, data and versions, what all jobs in OUT have in common;
- jobs/ARM-seedN.json: the scores of a finished job, written whole or not at all;
- work/ARM-seedN/: its networks and metrics, and checkpoints while it runs;
- results.json, table.md, figure.svg, figure.png.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from autocompress.errors import CheckpointError, ConfigError, UnknownNameError
from autocompress.io import write_json
from autocompress.pipeline.config import settings_of_today
from autocompress.pipeline.folder import holds_something
from autocompress.pipeline.summary import environment
from autocompress.pipeline.values import as_values
from autocompress.reproduce.claim import Claim, Results, faithful, find_claim
from autocompress.reproduce.work import Work, file_name
from autocompress.training.identity import at_default, unlike
from autocompress.version import __version__

__all__ = ["Job", "Study"]


@dataclass(frozen=True)
class Job:
    """One arm with one seed; picklable.

    Attributes:
        study: which study it is of.
        arm, seed: which job.
        after: arms whose jobs of this seed must be finished.
    """

    study: Study
    arm: str
    seed: int
    after: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}"

    @property
    def path(self) -> Path:
        """Its result."""
        return self.study.folder / "jobs" / f"{file_name(self.arm, self.seed)}.json"

    def run(self) -> None:
        """Do it and write its result, in whatever process this is."""
        study = self.study
        before = {arm: study.job(arm, self.seed).result()["scores"] for arm in self.after}
        work = Work(self.seed, study.folder, self.arm, study.data, before)
        start, busy = time.perf_counter(), time.process_time()
        scores = study.claim.run(study.settings, self.arm, work)
        record = {
            "arm": self.arm,
            "seed": self.seed,
            "study": study.digest,
            "scores": scores,
            "seconds": round(time.perf_counter() - start, 1),
            "core_seconds": round(time.process_time() - busy, 1),
            "environment": environment(
                torch.device("cuda" if torch.cuda.is_available() else "cpu")
            ),
        }
        write_json(self.path, record)

    def result(self) -> dict[str, Any]:
        """What :meth:`run` wrote.

        Raises:
            CheckpointError: there is none, or it is of another study.
        """
        record = _read(self.path)
        if record.get("study") != self.study.digest:
            raise CheckpointError(
                f"{self.path} is of other settings or versions than {self.study.folder}/study.json "
                "says, and results are not mixed: remove it, and this job runs again"
            )
        return record


@dataclass(frozen=True)
class Study:
    """One claim at one preset.

    Attributes:
        name, preset: of the claim.
        faithful: with the peculiarities of the authors' code.
        data: places of data sets, see :func:`locate`.
        seeds: one job of every arm for each.
        folder: OUT.
    """

    name: str
    preset: str
    folder: Path
    seeds: tuple[int, ...] = (0, 1, 2)
    data: tuple[str, ...] = ()
    faithful: bool = False

    @property
    def claim(self) -> Claim[Any]:
        """What it tests."""
        return find_claim(self.name)

    @property
    def settings(self) -> Any:
        """The preset's, faithful or not.

        Raises:
            UnknownNameError: the claim has no such preset.
        """
        presets = self.claim.presets
        if self.preset not in presets:
            raise UnknownNameError(f"preset of {self.name!r}:", self.preset, presets)
        chosen = presets[self.preset]
        return faithful(chosen) if self.faithful else chosen

    def identity(self) -> dict[str, Any]:
        """What all jobs have in common: results that differ in it are never put together."""
        return {
            "claim": self.name,
            "revision": self.claim.revision,
            "preset": self.preset,
            "faithful": self.faithful,
            "data": list(self.data),
            "settings": plain(self.settings),
            "versions": versions(),
        }

    @property
    def digest(self) -> str:
        """A short hash of OUT/study.json, which every job's file repeats.

        Raises:
            CheckpointError: it is missing, or damaged.
        """
        text = json.dumps(_read(self.folder / "study.json"), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def open(self) -> None:
        """Make the folder, or take it up again.

        Raises:
            ConfigError: it holds a study of other settings or versions, or something else.
        """
        kept = self.folder / "study.json"
        if kept.exists():
            differs = self.differences(_read(kept))
            if differs:
                raise ConfigError(
                    f"{self.folder} holds results of other settings or versions, and they are not "
                    f"mixed ({'; '.join(differs[:5])}): name a new --out"
                )
        elif holds_something(self.folder):
            raise ConfigError(f"{self.folder} exists and is no study: name a new --out")
        else:
            write_json(kept, self.identity())

    def differences(self, held: Mapping[str, Any], only: Sequence[str] = ()) -> list[str]:
        """What is not as in the :meth:`identity` of an earlier run, as :func:`unlike` has it.

        Args:
            held: the earlier identity.
            only: compare these of its keys; empty compares all.
        """
        keys, now = only or tuple(self.identity()), self.identity()
        old, new = ({key: of.get(key) for key in keys} for of in (settings_of_today(held), now))
        return unlike(old, new, at_default({"settings": self.settings}))

    def job(self, arm: str, seed: int, after: tuple[str, ...] = ()) -> Job:
        """The job of one arm and seed."""
        return Job(self, arm, seed, after)

    def jobs(self) -> list[Job]:
        """All jobs; one comes after those that it needs."""
        arms = self.claim.arms(self.settings)
        return [self.job(arm.name, seed, arm.after) for seed in self.seeds for arm in arms]

    def results(self) -> Results:
        """The scores of all jobs, which must be finished."""
        found = {(job.arm, job.seed): job.result()["scores"] for job in self.jobs()}
        return Results(list(self.seeds), found)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged: it holds no JSON object")
    return content


def versions() -> dict[str, str]:
    """What a number may depend on beside settings and seed."""
    python = ".".join(platform.python_version_tuple()[:2])
    found = {name: version(name) for name in ("torch", "numpy")}
    return {"autocompress": __version__, **found, "python": python}


def plain(value: Any) -> Any:
    """Settings as JSON."""
    value = as_values(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
