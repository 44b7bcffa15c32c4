"""The growing page of a run: what it shows, to whom, and until when."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from autocompress.errors import OutputError
from autocompress.report.live import live_page, serving


def grown(folder: Path, epochs: int, rest: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "epoch": e,
            "loss": 2.0 / e,
            "lr": 0.1,
            "seconds": e,
            "validation": 0.2 * e,
            "depths": [0.1, 0.2 * e],
        }
        for e in range(1, epochs + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + rest)


def asked(address: str, path: str = "/", host: str | None = None) -> tuple[int, str, Any]:
    place = urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), answer.headers
    connection.close()
    return found


def test_the_page_grows_with_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with serving(run) as address:
        assert address.startswith("http://127.0.0.1:")
        assert "Waiting for the first epoch" in asked(address)[1]
        grown(run, 2)
        status, text, headers = asked(address)
        assert status == 200
        assert "Network: epoch 2, loss 1.000, validation 40.00\u00a0%" in text
        assert headers["X-Run"] == "running"
        grown(run, 3, '{"epoch": 4, "lo')  # a line that is being written
        assert "epoch 3" in asked(address)[1]
        grown(run / "baseline", 1)
        assert "Residual baseline: epoch 1" in asked(address)[1]


def test_the_live_page_shows_the_map_and_nothing_beside_it(tmp_path: Path) -> None:
    grown(tmp_path, 1)
    assert "Validation score of every depth" not in live_page(tmp_path)
    grown(tmp_path, 3)
    page = live_page(tmp_path)
    shown = page[page.index("Validation score of every depth") :]
    assert re.match(r"Validation score of every depth</h2><svg", shown)


def test_only_this_address_is_answered_and_only_under_its_own_name(tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        port = urlsplit(address).port
        assert asked(address, "/../etc/passwd")[0] == 404
        assert asked(address, host=f"evil.example:{port}")[0] == 403
        assert asked(address, host=f"localhost:{port}")[0] == 200


def test_a_watching_page_gets_the_report_at_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, str, Any]] = []

    def watch(address: str) -> None:
        while not seen or seen[-1][2]["X-Run"] == "running":
            seen.append(asked(address))
            time.sleep(0.05)

    with serving(tmp_path) as address:
        asked(address)
        watcher = threading.Thread(target=watch, args=(address,))
        watcher.start()
        (tmp_path / "report.html").write_text("the report")
    watcher.join(10)
    assert seen[-1][1] == "the report"
    with pytest.raises(ConnectionRefusedError):
        asked(address)


def test_a_run_that_nobody_watches_ends_at_once(tmp_path: Path) -> None:
    start = time.monotonic()
    with serving(tmp_path):
        pass
    assert time.monotonic() - start < 2


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        port = urlsplit(address).port
        assert port is not None
        with pytest.raises(OutputError, match=f"127.0.0.1:{port}"), serving(tmp_path, port):
            pass


def test_hostile_run_names_are_only_shown(tmp_path: Path) -> None:
    assert "<b>" not in live_page(tmp_path / "<b>\u2028'\"")
