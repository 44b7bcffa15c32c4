"""Run the jobs of a study: in this process, in several, or on a Ray cluster.

All use one scheduler: a worker is anything that takes a job and returns a future.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from multiprocessing import active_children, get_context

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autocompress.errors import (
    AutoCompressError,
    ConfigError,
    InterruptedRunError,
    UnknownNameError,
)
from autocompress_studies.jobs import Job, StudyRun

__all__ = ["CLUSTERS", "process_workers", "run_jobs", "run_jobs_of", "run_study"]

#: Starts a job somewhere.
Submit = Callable[[Job], "Future[None]"]

#: Clusters on which jobs can run, besides this machine.
CLUSTERS = ("ray",)


def run_study(
    study: StudyRun,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    retries: int = 1,
    console: Console | None = None,
) -> None:
    """Run the jobs that are not finished yet; each result is written as soon as it is there.

    Args:
        study: The study to run.
        jobs: Number of processes on this machine, which share its threads; 1 runs in this process.
        cluster: ``ray``: on the machines of a Ray cluster, which all see the study's folder.
        retries: Times that a job is tried again after a failure that is none of the library's own
            errors: a process that was killed, a disk that was full.
        console: Console for the progress; None is the standard error.

    Raises:
        ConfigError: The folder holds another study, or fewer jobs than 1.
        InterruptedRunError: Ctrl-C; the same call goes on.
        AutoCompressError: A job's own error, or that of one that failed more often than
            ``retries`` allow. Jobs that were finished before stay finished.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs} must be at least 1")
    study.open()
    todo = [job for job in study.jobs() if not _finished(job)]
    with _workers(jobs, cluster) as (submit, width):
        run_jobs(todo, submit, width, retries, console or Console(stderr=True), len(study.jobs()))


def run_jobs_of(study: StudyRun, jobs: Sequence[Job]) -> None:
    """Run some jobs of a study in this process, those that are not finished yet."""
    study.open()
    todo = [job for job in jobs if not _finished(job)]
    with this_process() as (submit, width):
        run_jobs(todo, submit, width, 1, Console(stderr=True), len(jobs))


def run_jobs(
    todo: Sequence[Job],
    submit: Submit,
    width: int,
    retries: int,
    console: Console,
    total: int | None = None,
) -> None:
    """Keep up to ``width`` jobs running, each after those that it needs, until all are done."""
    places = {(job.key, job.seed): place for place, job in enumerate(todo)}
    order = TopologicalSorter[int](
        {
            place: [places[key, job.seed] for key in job.after if (key, job.seed) in places]
            for place, job in enumerate(todo)
        }
    )
    order.prepare()
    ready: list[int] = []
    running: dict[Future[None], int] = {}
    failures = [0] * len(todo)
    with _Bar(console, len(todo), len(todo) if total is None else total) as bar:
        try:
            while order.is_active():
                for place in order.get_ready():
                    heappush(ready, place)
                while ready and len(running) < width:
                    place = heappop(ready)
                    bar.starts(todo[place])
                    running[submit(todo[place])] = place
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    place = running.pop(future)
                    failures[place] += 1
                    if _succeeded(future, todo[place], failures[place], retries, bar):
                        bar.done(todo[place])
                        order.done(place)
                    else:
                        heappush(ready, place)
        except KeyboardInterrupt as error:
            for future in running:
                future.cancel()
            raise InterruptedRunError(
                f"{error or 'stopped'} with {bar.finished} of {bar.total} jobs finished: the same "
                "command continues with the others"
            ) from None


def _succeeded(future: Future[None], job: Job, tries: int, retries: int, bar: _Bar) -> bool:
    """Return whether the job is done; False means that it should be tried again."""
    error = future.exception()
    if error is None:
        return True
    if isinstance(error, InterruptedRunError | KeyboardInterrupt):
        raise KeyboardInterrupt
    if isinstance(error, AutoCompressError):
        raise error
    if tries > retries:
        raise AutoCompressError(
            f"{job} failed {tries} times, last with {type(error).__name__}: {error}"
        ) from error
    bar.note(f"{job} failed ({type(error).__name__}: {error}); once more")
    return False


def _finished(job: Job) -> bool:
    if not job.path.exists():
        return False
    job.result()  # a result of another study is an error rather than a reason to run again
    return True


# -- workers ---------------------------------------------------------------------------------------


def _workers(jobs: int, cluster: str | None) -> AbstractContextManager[tuple[Submit, int]]:
    if cluster is None:
        return this_process() if jobs == 1 else process_workers(jobs)
    if cluster not in CLUSTERS:
        raise UnknownNameError("cluster", cluster, CLUSTERS)
    from autocompress_studies.cluster import ray_workers

    return ray_workers()


@contextmanager
def this_process() -> Iterator[tuple[Submit, int]]:
    def submit(job: Job) -> Future[None]:
        future: Future[None] = Future()
        try:
            job.run()
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)
        return future

    yield submit, 1


@contextmanager
def process_workers(jobs: int) -> Iterator[tuple[Submit, int]]:
    """Submit jobs to this many processes; processes that die are replaced."""
    threads = max(1, (os.cpu_count() or 1) // jobs)
    make = partial(
        ProcessPoolExecutor,
        jobs,
        mp_context=get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(threads,),
    )
    pools = [make()]

    def submit(job: Job) -> Future[None]:
        try:
            return pools[-1].submit(job.run)
        except BrokenProcessPool:  # a killed process breaks the whole pool
            pools.append(make())
            return pools[-1].submit(job.run)

    before = set(active_children())
    try:
        yield submit, jobs
    except (KeyboardInterrupt, InterruptedRunError):
        for worker in set(active_children()) - before:  # only this process handles signals
            worker.terminate()
        raise
    finally:
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


class _Bar:
    """A progress bar on a terminal; elsewhere a line for each job."""

    def __init__(self, console: Console, todo: int, total: int) -> None:
        self.console, self.total, self.finished = console, total, total - todo
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("jobs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("", total=total, completed=self.finished, note="")

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def starts(self, job: Job) -> None:
        self.progress.update(self.task, note=str(job))

    def done(self, job: Job) -> None:
        self.finished += 1
        self.progress.update(self.task, completed=self.finished)
        self.note(f"job {self.finished}/{self.total}: {job}")

    def note(self, text: str) -> None:
        if self.console.is_terminal:
            self.progress.console.print(text, highlight=False)
        else:
            self.console.print(text, highlight=False, soft_wrap=True)
