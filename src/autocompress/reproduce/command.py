"""``acn reproduce``: run a claim's study and write what it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from autocompress.errors import ConfigError
from autocompress.io.lock import locked
from autocompress.io.temporary import sweep
from autocompress.reproduce.claim import find_claim, list_claims
from autocompress.reproduce.output import Record, write_results
from autocompress.reproduce.runner import run_study
from autocompress.reproduce.study import Study

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
    """Test one claim of the paper; what is finished in ``out`` already is not run again.

    Args:
        claim: its name, see :func:`list_claims`.
        out: folder for results.json, table.md, figure.svg and figure.png.
        preset: ``smoke``, ``cpu`` or ``paper``.
        seeds: how many; 0, 1, ... are used.
        data: where data sets are, see :func:`autocompress.reproduce.work.locate`; empty takes
            them from the hub.
        faithful: with the peculiarities of the authors' code (docs/reproduce.md).
        jobs: processes on this machine.
        cluster: ``ray``: on the machines of a Ray cluster.

    Returns:
        The results, with table, findings and verdict.

    Raises:
        UnknownNameError: no such claim, preset or cluster.
        ConfigError: ``out`` holds results of other settings or versions.
        InterruptedRunError: Ctrl-C, SIGTERM or SIGHUP; the same call goes on.
        LockedError: another process works in ``out``.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds} must be at least 1")
    find_claim(claim)
    places = tuple(str(place) for place in data)
    study = Study(claim, preset, Path(out), tuple(range(seeds)), places, faithful)
    with locked(study.folder):
        sweep(study.folder)
        run_study(study, jobs=jobs, cluster=cluster)
        return write_results(study)


def list_table() -> str:
    """The claims: name, what they show, presets with their cost."""
    table = RichTable(title="acn reproduce CLAIM --preset PRESET --out DIR")
    for heading in ("claim", "shows", "presets and what they take"):
        table.add_column(heading)
    for name in list_claims():
        claim = find_claim(name)
        costs = [f"{preset}: {claim.costs.get(preset, '?')}" for preset in claim.presets]
        table.add_row(name, claim.shows, "\n".join(costs))
    console = Console(width=110)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()
