"""Serve the growing page of a run on this machine, for as long as the run lasts.

The server answers one address on 127.0.0.1 and only to a browser that asked for that address by
its number or as ``localhost``, so that no page of another site can read it.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from autocompress.errors import OutputError
from autocompress.io.header import read_bounded
from autocompress.report.curves import learning_map, loss_curve, score_curve
from autocompress.report.html import filled
from autocompress.training.progress import METRICS, METRICS_BYTES

__all__ = ["live_page", "serving"]

#: Seconds between two looks of the page at the run; a closing run waits once for a page to look.
_EVERY = 2.0

_NETWORKS = {"network": "", "baseline": "baseline", "shallow": "shallow"}
_WORDS = {"network": "network", "baseline": "residual baseline", "shallow": "shallow network"}


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve the page of a run on 127.0.0.1 inside the context; yield its address.

    Args:
        folder: The run folder, which may not exist yet.
        port: Port to listen on; 0 chooses a free one.

    Raises:
        OutputError: The port cannot be opened.
    """
    try:
        server = _Server(folder, port)
    except OSError as error:
        raise OutputError(f"no page can be served on 127.0.0.1:{port}: {error}") from error
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.finish()
        server.shutdown()
        server.server_close()
        thread.join(5)


def live_page(folder: Path) -> str:
    """Return the page of a run as far as it has come."""
    learning = {name: _records(folder / place) for name, place in _NETWORKS.items()}
    learning = {name: rows for name, rows in learning.items() if rows}
    last = list(learning)[-1] if learning else None
    said = "Waiting for the first epoch"
    if last is not None:
        row = learning[last][-1]
        said = f"{_WORDS[last].capitalize()}: epoch {row['epoch']}, loss {row['loss']:.3f}"
        if "validation" in row:
            said += f", validation {100 * row['validation']:.2f} %"
    rows = learning.get("network", [])
    depths = max((len(row.get("depths", [])) for row in rows), default=1)
    return filled(
        "live.html",
        {
            "title": f"{folder.name}: running",
            "folder": str(folder),
            "said": said,
            "networks": [(f"{name} line", _WORDS[name]) for name in learning],
            "score": score_curve(learning, depths - 1) if rows else "",
            "loss": loss_curve(learning) if rows else "",
            "map": learning_map(rows)[0],
            "every": int(1000 * _EVERY),
        },
    )


def _records(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs logged so far; the last line may be half written."""
    try:
        lines = (
            read_bounded(folder / METRICS, METRICS_BYTES).decode("utf-8", "replace").splitlines()
        )
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line)
            kept: dict[str, Any] = {"epoch": int(row["epoch"]), "loss": float(row["loss"])}
            kept["depths"] = [float(score) for score in row.get("depths") or []]
            if row.get("validation") is not None:
                kept["validation"] = float(row["validation"])
            numbers = [kept["loss"], kept.get("validation", 0.0), *kept["depths"]]
        except (ValueError, KeyError, TypeError):
            continue
        if all(map(math.isfinite, numbers)):
            found.append(kept)
    return found


class _Server(ThreadingHTTPServer):
    """A server of one page.

    Args:
        folder: The run folder.
        port: Port on 127.0.0.1; 0 chooses a free one.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.folder, self.ended = folder, False
        self.asked, self.told = 0.0, threading.Event()

    def finish(self) -> None:
        """Let a page that is being watched fetch the last state."""
        self.ended = True
        if time.monotonic() - self.asked < 2 * _EVERY:
            self.told.wait(1.5 * _EVERY)

    def page(self) -> bytes:
        """Return the page: the growing one, or at the end the run's report if there is one."""
        report = self.folder / "report.html"
        if self.ended and report.is_file():
            return report.read_bytes()
        return live_page(self.folder).encode("utf-8", "replace")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that goes away is no matter of the run."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET / with the page."""

    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self.send_error(403)
            return
        if self.path != "/":
            self.send_error(404)
            return
        self.server.asked = time.monotonic()
        ended = self.server.ended
        body = self.server.page()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Run", "ended" if ended else "running")
        self.end_headers()
        self.wfile.write(body)
        if ended:
            self.server.told.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the terminal belongs to the run's progress."""
