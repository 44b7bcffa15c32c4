"""A limit on how long a client may take to say what it wants."""

from __future__ import annotations

from typing import Any

from autocompress.extras import import_extra

__all__ = ["hurried"]


def hurried(seconds: float) -> Any:
    """Return uvicorn's protocol for HTTP, which closes connections whose request does not come.

    uvicorn itself waits for ever for the rest of a request's head, so that a few hundred clients
    that never end it would keep all others out.

    Args:
        seconds: Time in which the head of a request must have arrived, from the connection or from
            the first byte after an answer.
    """
    base: Any = import_extra("uvicorn.protocols.http.auto", "serve", "acn serve").AutoHTTPProtocol

    class Hurried(base):  # type: ignore[misc]
        """The protocol of one connection."""

        _alarm: Any = None

        def _idle(self) -> bool:
            return self.cycle is None or bool(self.cycle.response_complete)

        def _watch(self) -> None:
            """Set the alarm while a request is awaited."""
            if self._idle() and self._alarm is None:
                self._alarm = self.loop.call_later(seconds, self._close)
            elif not self._idle():
                self._calm()

        def _calm(self) -> None:
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None

        def _close(self) -> None:
            self._alarm = None
            if self._idle():
                self.transport.close()

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._calm()
            super().connection_lost(exc)

    return Hurried
