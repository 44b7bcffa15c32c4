"""Train a few jobs of a study again and compare all their scores with the committed ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from autocompress.errors import ConfigError, ReproductionError
from autocompress.io.lock import locked
from autocompress.io.temporary import sweep
from autocompress_studies.check import check_same, unmet
from autocompress_studies.jobs import StudyRun
from autocompress_studies.record import file_of, load_committed
from autocompress_studies.results import name_of
from autocompress_studies.runner import run_jobs_of

__all__ = ["Sample", "check_sample", "differences"]

#: Core seconds below which a job has only summed up or cut what others trained.
_TRAINS = 1.0


class Sample(NamedTuple):
    """The outcome of :func:`check_sample`.

    Attributes:
        words: A line for each job.
        differences: For each job the scores that are not equal bit for bit.
    """

    words: str
    differences: dict[str, list[str]]


def check_sample(run: StudyRun, committed: Path, count: int) -> Sample:
    """Run the ``count`` cheapest jobs of a study that train something, and compare them exactly.

    They are those of the first seed that need no other job, by the core seconds they took when the
    committed results were made. All scores but the times are compared: accuracies and losses of
    every depth, costs, and the packed hits of every example.

    Args:
        run: The study; its folder keeps the jobs. Its seeds are not used.
        committed: The committed results.json, or the folder of STUDY-PRESET.json files.
        count: Number of jobs.

    Returns:
        What was compared: scores are equal bit for bit on the same kind of processor.

    Raises:
        ConfigError: Settings differ from the committed ones, or no job can be compared.
        ReproductionError: Accuracies differ by more than the study's tolerance, or costs differ.
    """
    held = load_committed(committed, file_of(run.name, run.preset, run.faithful)).content
    run = StudyRun(run.name, run.preset, run.folder, (held["seeds"][0],), run.data, run.faithful)
    check_same(run.identity(), held, run.settings)
    kept = {
        job["arm"]: job
        for job in held["jobs"]
        if job["seed"] == run.seeds[0] and job["core_seconds"] is not None
    }
    jobs = [job for job in run.jobs() if name_of(job.key) in kept and not job.after]
    seconds = {job: kept[name_of(job.key)]["core_seconds"] for job in jobs}
    jobs.sort(key=lambda job: (seconds[job] < _TRAINS, seconds[job]))
    if not jobs:
        raise ConfigError(f"no job of {run.name!r} can be run by itself: check it without --sample")
    with locked(run.folder), threads_of(held):
        sweep(run.folder)
        run_jobs_of(run, jobs[:count])
    pairs = [
        (str(job), job.result()["scores"], kept[name_of(job.key)]["scores"]) for job in jobs[:count]
    ]
    tolerance = run.study.tolerance
    if wrong := [line for pair in pairs for line in unmet(*pair, tolerance)]:
        raise ReproductionError("the committed results were not met:\n" + "\n".join(wrong))
    found = {name: list(differences(old, new)) for name, new, old in pairs}
    lines = [
        f"{name}: every score is equal to the committed one, bit for bit"
        if not differing
        else f"{name}: accuracies within {100 * tolerance:g} points, costs equal; not bit for bit "
        f"({differing[0]})"
        for name, differing in found.items()
    ]
    if any(found.values()):
        here, there = jobs[0].result()["environment"], held["environment"]
        lines.append(
            f"Other processors round differently: {_machine(here)}, "
            f"{torch.backends.cpu.get_cpu_capability()} here; {_machine(there)} there."
        )
    return Sample("\n".join(lines), found)


@contextmanager
def threads_of(content: Mapping[str, Any]) -> Iterator[None]:
    """Use as many threads as the committed results were made with: more of them sum otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(content["environment"].get("threads", before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Yield the places where two scores differ; times are not compared.

    >>> list(differences({"test": [1, 2], "train_seconds": 3}, {"test": [1, 4]}))
    ['test.1: 2 -> 4']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            if "seconds" not in key:
                yield from differences(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{where}.{place}")
    elif old != new:
        yield f"{where}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _machine(environment: Mapping[str, Any]) -> str:
    return f"torch {environment['torch']}, {environment['platform']}"
