"""A study at one preset, and the folder that keeps its finished jobs.

The folder OUT holds

- study.json: settings, data and versions, which all jobs in OUT have in common;
- jobs/ARM-seedN.json: the scores of a finished job, written whole or not at all;
- work/ARM-seedN/: its networks and metrics, and checkpoints while it runs;
- results.json, table.md, figure.svg, figure.png.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from autocompress.errors import CheckpointError, ConfigError
from autocompress.io import write_json
from autocompress.pipeline.config import settings_of_today
from autocompress.pipeline.folder import holds_something
from autocompress.pipeline.summary import environment
from autocompress.pipeline.values import as_values
from autocompress.training.identity import at_default, unlike
from autocompress.version import __version__
from autocompress_studies.results import Arm, Results, name_of
from autocompress_studies.study import Study, find_study
from autocompress_studies.work import Work, file_name

__all__ = ["Job", "StudyRun", "plain", "versions"]


@dataclass(frozen=True)
class Job:
    """One arm with one seed; it can be pickled.

    Attributes:
        study: The study that it belongs to.
        key, seed: Key of the arm, and the seed.
        after: Keys of arms whose jobs of this seed must be finished.
    """

    study: StudyRun
    key: Hashable
    seed: int
    after: tuple[Hashable, ...] = ()

    def __str__(self) -> str:
        return f"{name_of(self.key)}, seed {self.seed}"

    @property
    def path(self) -> Path:
        """Return the file of its result."""
        return self.study.folder / "jobs" / f"{file_name(self.key, self.seed)}.json"

    def run(self) -> None:
        """Run it and write its result, in whatever process this is."""
        run = self.study
        before = {key: Job(run, key, self.seed).result()["scores"] for key in self.after}
        work = Work(self.seed, run.folder, self.key, run.data, before)
        start, busy = time.perf_counter(), time.process_time()
        scores = run.study.run(run.settings, self.key, work)
        record = {
            "arm": name_of(self.key),
            "seed": self.seed,
            "study": run.digest,
            "scores": scores,
            "seconds": round(time.perf_counter() - start, 1),
            "core_seconds": round(time.process_time() - busy, 1),
            "environment": environment(
                torch.device("cuda" if torch.cuda.is_available() else "cpu")
            ),
        }
        write_json(self.path, record)

    def result(self) -> dict[str, Any]:
        """Return what :meth:`run` wrote.

        Raises:
            CheckpointError: There is no result, or it is of another study.
        """
        record = _read(self.path)
        if record.get("study") != self.study.digest:
            raise CheckpointError(
                f"{self.path} is of other settings or versions than {self.study.folder}/study.json "
                "says, and results are not mixed: remove it, and this job runs again"
            )
        return record


@dataclass(frozen=True)
class StudyRun:
    """A study at one preset, with its seeds, in a folder.

    Attributes:
        name: Name of the study.
        preset: Name of its settings.
        folder: OUT.
        seeds: Seeds of the run; every arm has one job for each.
        data: Places of data sets, see :func:`autocompress.data.places.locate`.
        faithful: Whether to use the peculiarities of the authors' code.
    """

    name: str
    preset: str
    folder: Path
    seeds: tuple[int, ...] = (0, 1, 2)
    data: tuple[str, ...] = ()
    faithful: bool = False

    @property
    def study(self) -> Study[Any, Any]:
        """Return what is run."""
        return find_study(self.name)

    @property
    def settings(self) -> Any:
        """Return the preset's settings. Raises UnknownNameError: there is no such preset."""
        return self.study.settings(self.preset, self.faithful)

    def identity(self) -> dict[str, Any]:
        """Return what all jobs have in common: results that differ in it are never mixed."""
        return {
            "claim": self.name,
            "revision": self.study.revision,
            "preset": self.preset,
            "faithful": self.faithful,
            "data": list(self.data),
            "settings": plain(self.settings),
            "versions": versions(),
        }

    @property
    def digest(self) -> str:
        """Return a short hash of OUT/study.json, which every job's file repeats.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        text = json.dumps(_read(self.folder / "study.json"), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def open(self) -> None:
        """Make the folder, or take it up again.

        Raises:
            ConfigError: It holds a study of other settings or versions, or something else.
        """
        kept = self.folder / "study.json"
        if kept.exists():
            differs = self.differences(_read(kept))
            if differs:
                raise ConfigError(
                    f"{self.folder} holds results of other settings or versions, and they are not "
                    f"mixed ({'; '.join(differs[:5])}): choose another --output"
                )
        elif holds_something(self.folder):
            raise ConfigError(f"{self.folder} exists and is not a study: choose another --output")
        else:
            write_json(kept, self.identity())

    def differences(self, held: Mapping[str, Any], only: Sequence[str] = ()) -> list[str]:
        """Return what is not as in the :meth:`identity` of an earlier run, see :func:`unlike`.

        Args:
            held: The earlier identity.
            only: Keys to compare; empty compares all.
        """
        now = self.identity()
        held = settings_of_today(held)
        old, new = ({key: of.get(key) for key in only or now} for of in (held, now))
        return unlike(old, new, at_default({"settings": self.settings}))

    def jobs(self) -> list[Job]:
        """Return all jobs, seed by seed in the order of the arms."""
        arms: list[Arm[Any]] = self.study.arms(self.settings)
        return [
            Job(self, arm.key, seed, arm.after)
            for place, seed in enumerate(self.seeds)
            for arm in arms
            if arm.seeds is None or place < arm.seeds
        ]

    def results(self) -> Results[Any]:
        """Return the scores of all jobs, which must be finished."""
        found = {(job.key, job.seed): job.result()["scores"] for job in self.jobs()}
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
    """Return what a number may depend on beside settings and seed."""
    python = ".".join(platform.python_version_tuple()[:2])
    found = {name: version(name) for name in ("torch", "numpy")}
    return {"autocompress": __version__, **found, "python": python}


def plain(value: Any) -> Any:
    """Return settings as JSON."""
    value = as_values(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
