"""The application: /predict, /health, /metrics, and a page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

from autocompress.errors import AutoCompressError, ConfigError
from autocompress.extras import import_extra
from autocompress.predict import Prediction, Predictor
from autocompress.predict.asking import Asked
from autocompress.serve.asked import RequestError, inputs_of
from autocompress.serve.batching import Batcher, BusyError
from autocompress.serve.body import BodyLimit
from autocompress.serve.metrics import Metrics
from autocompress.version import __version__

__all__ = ["Limits", "build_app"]

_PURPOSE = "acn serve"

#: Milliseconds; a server that waits longer for a fuller batch answers nobody.
_LONGEST_WAIT = 60_000.0


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes:
        bytes: Largest body of a request.
        seconds: Time in which a request must have arrived, and again in which it is answered.
        inputs: Largest number of inputs in a request.
        queued: Largest number of inputs that wait.
        batch: Largest number of inputs that are computed together.
        wait_ms: Milliseconds to wait for a fuller batch.
    """

    bytes: int = 16 * 2**20
    seconds: float = 30.0
    inputs: int = 256
    queued: int = 1024
    batch: int = 64
    wait_ms: float = 2.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0 and not (name == "wait_ms" and value == 0):
                least = "0 or more" if name == "wait_ms" else "above 0"
                raise ConfigError(f"limit {name} {value} must be {least}")
        if self.wait_ms > _LONGEST_WAIT:
            raise ConfigError(f"limit wait_ms {self.wait_ms:g} must be at most {_LONGEST_WAIT:g}")


class _Service:
    """The predictors and their queues.

    Args:
        predictor: The predictor of requests, which may let inputs leave early.
        full: A predictor of the same network without exits.
        limits: The limits.
        name: Name of the model.
    """

    def __init__(self, predictor: Predictor, full: Predictor, limits: Limits, name: str) -> None:
        self.predictor, self.limits, self.name = predictor, limits, name
        self.metrics = Metrics()
        self.queues = {
            exits: Batcher[tuple[Asked, int], Prediction](
                partial(_answered, who),
                limits.batch,
                limits.wait_ms / 1e3,
                limits.queued,
                self.metrics.batch,
            )
            for exits, who in ((True, predictor), (False, full))
        }

    def waiting(self) -> int:
        """Return how many inputs wait."""
        return sum(queue.waiting for queue in self.queues.values())

    async def predict(self, request: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the answer to a request."""
        start = time.perf_counter()
        status, body = await self._answered(request)
        self.metrics.request(status, time.perf_counter() - start)
        return status, body

    async def _answered(self, request: Any) -> tuple[int, dict[str, Any]]:
        try:
            top, exits = _asked_of(request.query_params)
            asked = await inputs_of(request, self.predictor.reader, self.limits.inputs)
            wanted = [(one, top) for one in asked]
            answers = await asyncio.wait_for(self.queues[exits](wanted), self.limits.seconds)
        except RequestError as error:
            return error.status, {"error": str(error)}
        except BusyError as error:
            return 503, {"error": str(error)}
        except asyncio.TimeoutError:
            return 504, {"error": f"no answer within {self.limits.seconds:g} seconds"}
        except AutoCompressError as error:
            return 422, {"error": str(error)}
        except Exception as error:  # a defect: the client is answered and the server goes on
            return 500, {"error": f"the network failed: {type(error).__name__}"}
        for answer in answers:
            self.metrics.answer(answer)
        shown = [_shown(answer, top) for answer in answers]
        wrong = [one["error"] for one in shown if one["error"]]
        if len(wrong) == len(shown):
            return 422, {"error": wrong[0], "predictions": shown}
        return 200, {"predictions": shown}

    def health(self) -> dict[str, Any]:
        """Return what the server is."""
        net = self.predictor.net
        return {
            "status": "ok",
            "model": self.name,
            "version": __version__,
            "takes": "texts" if self.predictor.reader.takes_texts else "pictures",
            "task": net.task,
            "classes": net.class_names,
            "depth": net.depth,
            "exits": self.predictor.exit_below is not None,
            "waiting": self.waiting(),
        }


def _answered(predictor: Predictor, batch: list[tuple[Asked, int]]) -> list[Prediction]:
    """Return the answers of a batch, with as many classes as the most that a request wants."""
    return list(predictor.answers((one for one, _ in batch), max(top for _, top in batch)))


def _shown(answer: Prediction, top: int) -> dict[str, Any]:
    said = answer.to_json()
    return said | {"top": said["top"][:top]}


def _asked_of(query: Any) -> tuple[int, bool]:
    """Return ``top`` and ``exits`` of a query."""
    top, exits = query.get("top", "3"), query.get("exits", "true").lower()
    if not (top.isascii() and top.isdigit() and 1 <= int(top[:6]) <= 1000):
        raise RequestError(400, f"top {top[:20]!r} must be a whole number from 1 to 1000")
    if exits not in ("true", "false"):
        raise RequestError(400, f"exits {exits[:20]!r} must be true or false")
    return int(top), exits == "true"


def _elsewhere(method: str, path: str) -> tuple[dict[str, str], int]:
    """Return the answer to a request that does not exist, and its status."""
    asked = f"{method} {path[:80]}"
    words = f"this server does not answer {asked}; use POST /predict, GET /health, /metrics or /"
    return {"error": words}, 405 if path in ("/predict", "/health", "/metrics", "/") else 404


#: The page fetches nothing from elsewhere.
_POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


def build_app(predictor: Predictor, *, limits: Limits | None = None, name: str = "") -> Any:
    """Return an ASGI application that answers with ``predictor``.

    Args:
        predictor: The predictor; with exits, easy inputs leave early.
        limits: Limits on requests; None uses the defaults.
        name: Name of the model, shown on the page and by /health.

    Raises:
        MissingExtraError: The extra "serve" is not installed.
        ConfigError: The network takes inputs other than pictures and texts.
    """
    for package in ("prometheus_client", "python_multipart"):
        import_extra(package, "serve", _PURPOSE)
    fastapi: Any = import_extra("fastapi", "serve", _PURPOSE)
    responses: Any = import_extra("fastapi.responses", "serve", _PURPOSE)
    limits = limits or Limits()
    full = Predictor(predictor.net, batch_size=predictor.batch_size, threshold=predictor.threshold)
    service = _Service(predictor, full, limits, name)
    service.health()  # its inputs are understood, or this raises

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        for queue in service.queues.values():
            await queue.close()

    pages = {"docs_url": None, "redoc_url": None}  # FastAPI's own fetch scripts from elsewhere
    app = fastapi.FastAPI(title="acn serve", version=__version__, lifespan=lifespan, **pages)

    async def predict(request: Any) -> Any:
        """Answer pictures, texts or JSON with class names and probabilities."""
        status, body = await service.predict(request)
        headers = {"retry-after": "1"} if status == 503 else None
        return responses.JSONResponse(body, status, headers)

    async def metrics() -> Any:
        """Return the metrics as Prometheus reads them."""
        text, kind = service.metrics.text(service.waiting())
        return responses.Response(text, media_type=kind)

    async def page() -> Any:
        """Return the page."""
        text = files("autocompress.serve").joinpath("page.html").read_text(encoding="utf-8")
        return responses.HTMLResponse(text, headers={"content-security-policy": _POLICY})

    async def health() -> Any:
        """Return what the server is, and how many inputs wait."""
        return responses.JSONResponse(service.health())

    async def elsewhere(request: Any, _: Exception) -> Any:
        """Say which requests there are."""
        return responses.JSONResponse(*_elsewhere(request.method, request.url.path))

    for status in (404, 405):
        app.add_exception_handler(status, elsewhere)
    predict.__annotations__["request"] = fastapi.Request  # imported here, not with this module
    app.add_api_route("/predict", predict, methods=["POST"], response_model=None)
    for path, answer in (("/health", health), ("/metrics", metrics), ("/", page)):
        app.add_api_route(path, answer, methods=["GET"], response_model=None)
    return BodyLimit(app, limits.bytes, limits.seconds, service.metrics.request)
