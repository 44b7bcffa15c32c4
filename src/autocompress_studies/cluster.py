"""Run jobs on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from autocompress.errors import AutoCompressError, OutputError
from autocompress.extras import import_extra
from autocompress_studies.jobs import Job

__all__ = ["ray_workers"]


@contextmanager
def ray_workers() -> Iterator[tuple[Callable[[Job], Future[None]], int]]:
    """Submit jobs to Ray: the cluster that ``RAY_ADDRESS`` names or that runs here, else a new one.

    Each job takes one core, and one GPU if the cluster has any. The study's folder and the data
    must be accessible on all machines, as Ray's own training requires.

    Yields:
        A function that submits a job, and the number of jobs that may run at once.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    ray: Any = import_extra("ray", "ray", "--cluster ray")
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    resources = ray.cluster_resources()
    on_gpu = resources.get("GPU", 0) >= 1
    width = int(resources["GPU"] if on_gpu else resources["CPU"])
    task: Any = ray.remote(num_cpus=1, num_gpus=int(on_gpu), max_retries=0)(_run)

    def submit(job: Job) -> Future[None]:
        future: Future[None] = Future()
        task.remote(job).future().add_done_callback(lambda done: _pass_on(done, future, job))
        return future

    try:
        yield submit, max(1, width)
    finally:
        if ours:
            ray.shutdown()


def _run(job: Job) -> AutoCompressError | None:
    """Run a job on a worker; return our own errors, which Ray would wrap in a class of its own."""
    try:
        job.run()
    except AutoCompressError as error:
        return error
    return None


def _pass_on(done: Future[AutoCompressError | None], future: Future[None], job: Job) -> None:
    error = done.exception() or done.result()
    if error is None and not job.path.exists():
        error = OutputError(
            f"{job} was finished on another machine, and {job.path} is not to be seen here: "
            "--output must be a folder that all machines share"
        )
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
