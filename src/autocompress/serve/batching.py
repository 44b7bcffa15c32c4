"""Answer inputs that arrive one by one in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Batcher", "BusyError"]

A = TypeVar("A")
B = TypeVar("B")


class BusyError(Exception):
    """Too many inputs are waiting."""


class Batcher(Generic[A, B]):
    """A queue in front of a function of batches.

    Whatever has arrived when the function is free is answered together; it waits a moment for more
    only if there is room in the batch. The function runs in a thread of its own, one batch after
    another, and every input gets its answer or the error of its batch.

    Args:
        answer: Function from a batch to one answer for each of its inputs.
        most: Largest batch.
        wait_s: Seconds to wait for a fuller batch.
        queued: Largest number of inputs that wait.
        seen: Called with the size of each batch.
    """

    def __init__(
        self,
        answer: Callable[[list[A]], Sequence[B]],
        most: int,
        wait_s: float,
        queued: int,
        seen: Callable[[int], object] = lambda size: None,
    ) -> None:
        self.answer, self.most, self.wait_s, self.queued, self.seen = (
            answer,
            most,
            wait_s,
            queued,
            seen,
        )
        self._waiting: asyncio.Queue[tuple[A, asyncio.Future[B]]] = asyncio.Queue()
        self._pool = ThreadPoolExecutor(1, "acn-serve")
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Return how many inputs wait."""
        return self._waiting.qsize()

    async def __call__(self, inputs: Sequence[A]) -> list[B]:
        """Return the answers to ``inputs``, in order.

        Raises:
            BusyError: There is no room for them in the queue.
        """
        if self._waiting.qsize() + len(inputs) > self.queued:
            raise BusyError(f"{self._waiting.qsize()} inputs are waiting: try again in a moment")
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())
        futures = [asyncio.get_running_loop().create_future() for _ in inputs]
        for one, future in zip(inputs, futures, strict=True):
            self._waiting.put_nowait((one, future))
        try:
            return list(await asyncio.gather(*futures))
        finally:
            for future in futures:  # whoever asked has gone: nobody computes for them
                future.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [pair for pair in await self._batch() if not pair[1].done()]
            if not batch:
                continue
            self.seen(len(batch))
            try:
                answers = await loop.run_in_executor(
                    self._pool, self.answer, [one for one, _ in batch]
                )
                found = list(zip(batch, answers, strict=True))
            except Exception as error:  # it belongs to those who asked, and the queue goes on
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in found:
                if not future.done():
                    future.set_result(answer)

    async def _batch(self) -> list[tuple[A, asyncio.Future[B]]]:
        batch = [await self._waiting.get()]
        end = asyncio.get_running_loop().time() + self.wait_s
        while len(batch) < self.most:
            left = end - asyncio.get_running_loop().time()
            if self._waiting.empty() and left <= 0:
                break
            with suppress(asyncio.TimeoutError):
                batch.append(await asyncio.wait_for(self._waiting.get(), max(left, 0.001)))
        return batch

    async def close(self) -> None:
        """Stop; whoever still waits is told so."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        while not self._waiting.empty():
            _, future = self._waiting.get_nowait()
            if not future.done():
                future.set_exception(BusyError("the server stops"))
        self._pool.shutdown(wait=False)
