"""``acn reproduce``: run a study, such as the test of a claim of the paper."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from autocompress.commands.common import Answer, Common, place
from autocompress.errors import ConfigError
from autocompress_studies import (
    StudyRun,
    check_sample,
    find_study,
    list_studies,
    list_table,
    reproduce,
)
from autocompress_studies.page import results_folder

__all__ = ["ALIASES", "Options", "run"]

#: Earlier names of options.
ALIASES = {"out": "output"}


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn reproduce``.

    Args:
        list: Whether to list all claims and exit.
        preset: Size of the study, e.g. cpu.
        seeds: Number of seeds; each repeats every arm.
        output: Folder of the study.
        data: Folders of data sets, or NAME=PLACE.
        faithful: Whether to include the authors' peculiarities.
        jobs: Number of processes on this machine.
        cluster: Cluster that runs the jobs instead, e.g. ray.
        check: Whether to compare with committed results.
        committed: File or folder of these results; empty uses those of the checkout.
        sample: Number of jobs to train again for --check, which must be equal bit for bit; 0
            runs the whole study.
    """

    claim: str | None = place("Name of the claim; see --list.", default=None)
    list: bool = False
    preset: str = "cpu"
    seeds: int = 3
    output: str | None = None
    data: tuple[str, ...] = ()
    faithful: bool = False
    jobs: int = 1
    cluster: str | None = None
    check: bool = False
    committed: str | None = None
    sample: int = 0

    def __post_init__(self) -> None:
        if self.list or self.claim is None:
            for item in fields(self):
                if (
                    item.name not in ("list", "json", "quiet")
                    and getattr(self, item.name) != item.default
                ):
                    wanted = "leave --list out" if self.list else "name a claim; see --list"
                    raise ConfigError(f"{item.name} is not used to list the claims: {wanted}")
        elif self.output is None:
            find_study(self.claim)  # a wrong name is said first
            raise ConfigError(
                f"name a folder for the results: acn reproduce {self.claim} --output DIR"
            )
        if self.committed is not None and not self.check:
            raise ConfigError("--committed says what --check compares with: give --check, too")
        if self.sample < 0:
            raise ConfigError(f"--sample {self.sample} must be 0 or more")
        if self.sample and not self.check:
            raise ConfigError("--sample says how many jobs --check compares: give --check, too")
        if self.sample and (self.cluster is not None or self.jobs != 1):
            raise ConfigError("--sample runs in this process: leave --jobs and --cluster out")
        if self.cluster is not None and self.jobs != 1:
            raise ConfigError("--jobs is for this machine and --cluster for others: give one")


def run(args: Options) -> Answer:
    """Run a study, or list all studies."""
    if args.claim is None or args.output is None:  # both are optional only with the list
        return Answer(list_table(), list_studies())
    if args.sample:
        run = StudyRun(args.claim, args.preset, Path(args.output), (0,), args.data, args.faithful)
        found = check_sample(run, Path(args.committed or results_folder()), args.sample)
        return Answer(found.words, found.differences)
    record = reproduce(
        args.claim,
        args.output,
        preset=args.preset,
        seeds=args.seeds,
        data=list(args.data),
        faithful=args.faithful,
        jobs=args.jobs,
        cluster=args.cluster,
    )
    file = Path(args.output) / "results.json"
    text = f"{record}\n\nresults: {file}"
    if args.check:
        text += f"\n{record.check(args.committed or results_folder())}"
    return Answer(text, json.loads(file.read_text(encoding="utf-8")))
