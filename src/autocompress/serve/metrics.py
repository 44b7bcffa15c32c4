"""Count what a server does, in the form that Prometheus reads."""

from __future__ import annotations

from typing import Any

from autocompress.extras import import_extra
from autocompress.predict import Prediction

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._client: Any = import_extra("prometheus_client", "serve", "acn serve")
        client = self._client
        self._registry = client.CollectorRegistry()
        own = {"registry": self._registry}
        self._requests = client.Counter(
            "acn_requests", "Requests to /predict by status", ["status"], **own
        )
        self._seconds = client.Histogram(
            "acn_request_seconds", "Time to answer a request", buckets=_SECONDS, **own
        )
        self._inputs = client.Counter("acn_inputs", "Inputs by outcome", ["outcome"], **own)
        self._depths = client.Counter("acn_exit_depth", "Inputs by exit depth", ["depth"], **own)
        self._batches = client.Histogram(
            "acn_batch_size", "Inputs computed together", buckets=(1, 2, 4, 8, 16, 32, 64), **own
        )
        self._waiting = client.Gauge("acn_waiting", "Inputs that wait", **own)

    def request(self, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def batch(self, size: int) -> None:
        """Count a batch."""
        self._batches.observe(size)

    def answer(self, answer: Prediction) -> None:
        """Count an answer."""
        self._inputs.labels("answered" if answer.error is None else "refused").inc()
        if answer.depth is not None:
            self._depths.labels(str(answer.depth)).inc()

    def text(self, waiting: int) -> tuple[bytes, str]:
        """Return all metrics, and their media type."""
        self._waiting.set(waiting)
        return self._client.generate_latest(self._registry), self._client.CONTENT_TYPE_LATEST
