"""Limits on what a client sends: how much, and for how long."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["BodyLimit"]

#: Bytes beyond the limit that are read and dropped, and seconds without a byte after which they are
#: not waited for: who closes earlier cuts the client off, and the reason never arrives.
_DROPPED, _PAUSE = 2**26, 0.5

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class BodyLimit:
    """An ASGI application that reads a whole body, within limits, before another one runs.

    A body that is too large is refused with status 413, one that does not arrive in time with 408.

    Args:
        app: The application behind it.
        most: Largest body in bytes.
        seconds: Time in which the body must have arrived.
        refused: Called with the status of each refusal and the seconds that it took.
    """

    def __init__(
        self,
        app: Any,
        most: int,
        seconds: float,
        refused: Callable[[int, float], object] = lambda status, seconds: None,
    ) -> None:
        self.app, self.most, self.seconds, self.refused = app, most, seconds, refused

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        try:
            body, more = await asyncio.wait_for(self._body(scope, receive), self.seconds)
        except asyncio.TimeoutError:
            self.refused(408, time.perf_counter() - start)
            await _refuse(send, 408, f"the body did not arrive within {self.seconds:g} seconds")
            return
        except ConnectionError:  # the client has gone
            return
        if body is None:
            if more:
                await self._drop(receive)
            self.refused(413, time.perf_counter() - start)
            await _refuse(send, 413, f"the body is larger than {self.most} bytes")
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    async def _body(
        self, scope: MutableMapping[str, Any], receive: Receive
    ) -> tuple[bytes | None, bool]:
        """Return the body, None if it is too large, and whether more of it may come."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.most:
            # with "Expect: 100-continue" a client waits for leave before it sends
            return None, b"expect" not in headers
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ConnectionError("the client has gone")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = bool(message.get("more_body", False))
            if size > self.most:
                return None, more
            if not more:
                return b"".join(parts), False

    async def _drop(self, receive: Receive) -> None:
        """Read and drop what a client still sends, within bounds: before, it reads no answer."""
        left, end = _DROPPED, time.perf_counter() + self.seconds
        while left > 0 and time.perf_counter() < end:
            try:
                message = await asyncio.wait_for(receive(), _PAUSE)
            except asyncio.TimeoutError:
                return
            left -= len(message.get("body", b""))
            if not message.get("more_body", False):
                return


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
