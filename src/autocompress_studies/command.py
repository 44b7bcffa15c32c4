"""``acn reproduce``: run a study and write its results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from autocompress.errors import ConfigError, InterruptedRunError
from autocompress.io.lock import locked
from autocompress.io.temporary import sweep
from autocompress.printing import as_text
from autocompress_studies.jobs import StudyRun
from autocompress_studies.record import Record, write_results
from autocompress_studies.runner import run_study
from autocompress_studies.study import find_study, list_studies

__all__ = ["list_table", "reproduce"]


def reproduce(
    claim: str,
    out: str | Path,
    *,
    preset: str = "cpu",
    seeds: int = 3,
    data: Sequence[str] = (),
    faithful: bool = False,
    jobs: int = 1,
    cluster: str | None = None,
) -> Record:
    """Run one study, such as a claim of the paper; jobs that ``out`` holds are not run again.

    Args:
        claim: Name of the study, see :func:`list_studies`.
        out: Folder for results.json, table.md, figure.svg and figure.png.
        preset: ``smoke``, ``cpu`` or ``paper``.
        seeds: Number of seeds; 0, 1, ... are used.
        data: Places of data sets, see :func:`autocompress.data.places.locate`; empty takes
            them from the hub.
        faithful: Whether to use the peculiarities of the authors' code (docs/reproduce.md).
        jobs: Number of processes on this machine.
        cluster: ``ray`` runs the jobs on the machines of a Ray cluster.

    Returns:
        The results, with table, findings and verdict.

    Raises:
        UnknownNameError: There is no such study, preset or cluster.
        ConfigError: ``out`` holds results of other settings or versions.
        InterruptedRunError: Ctrl-C, SIGTERM or SIGHUP; the same call goes on.
        LockedError: Another process works in ``out``.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds} must be at least 1")
    find_study(claim)
    places = tuple(str(place) for place in data)
    run = StudyRun(claim, preset, Path(out), tuple(range(seeds)), places, faithful)
    with locked(run.folder):
        sweep(run.folder)
        try:
            run_study(run, jobs=jobs, cluster=cluster)
            return write_results(run)
        except KeyboardInterrupt as error:  # before or after the jobs, which handle their own
            raise InterruptedRunError(
                f"{error or 'stopped'}: finished jobs are kept, and the same command goes on from "
                "there"
            ) from None


def list_table() -> str:
    """Return the studies as a table: name, what they show, presets with their cost."""
    table = Table(title="acn reproduce STUDY --preset PRESET --output DIR")
    for heading in ("study", "shows", "presets and what they take"):
        table.add_column(heading)
    for name in list_studies():
        study = find_study(name)
        costs = [f"{preset}: {study.costs.get(preset, '?')}" for preset in study.presets]
        table.add_row(name, study.shows, "\n".join(costs))
    return as_text(table, width=110)
