"""Limits on what a client sends: how much, and for how long."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["BodyLimit"]

#: Bytes beyond the limit that are read and dropped: who closes earlier cuts the client off in the
#: middle of its sending, and the reason never arrives.
_DROPPED = 2**26

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
            body = await asyncio.wait_for(self._body(scope, receive), self.seconds)
        except asyncio.TimeoutError:
            self.refused(408, time.perf_counter() - start)
            await _refuse(send, 408, f"the body did not arrive within {self.seconds:g} seconds")
            return
        except ConnectionError:  # the client has gone
            return
        if body is None:
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

    async def _body(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes | None:
        """Return the body; None if it is too large, after the rest of it within bounds."""
        headers = dict(scope["headers"])
        said = headers.get(b"content-length", b"")
        length = int(said) if said.isdigit() else 0
        if length > self.most + _DROPPED or (length > self.most and b"expect" in headers):
            return None  # with "Expect: 100-continue" a client waits for leave before it sends
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ConnectionError("the client has gone")
            part = message.get("body", b"")
            size += len(part)
            if max(size, length) > self.most:
                parts.clear()
            else:
                parts.append(part)
            if size > self.most + _DROPPED:
                return None
            if not message.get("more_body", False):
                return b"".join(parts) if max(size, length) <= self.most else None


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
