"""``acn serve`` as a command: it answers, and a signal ends it in peace."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.cli import main
from autocompress.commands.serve import Options, folder_of

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


def saved(folder: Path) -> str:
    net = ac.models.MLP(depth=2, width=8, classes=2, image_size=2, channels=1)
    net.preprocess = ac.data.ImageInput(size=(2, 2), channels=1).to_json()
    ac.save(net, folder)
    return str(folder)


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "autocompress", "serve", saved(tmp_path / "net"), "--port", str(port)]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as server:
        end = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as reply:
                    said = json.loads(reply.read())
                break
            except urllib.error.URLError:
                assert time.monotonic() < end
                assert server.poll() is None
                time.sleep(0.1)
        assert (said["model"], said["depth"], said["exits"]) == ("net", 2, False)
        server.send_signal(signal.SIGTERM)
        out, _ = server.communicate(timeout=60)
    assert server.returncode == 0
    assert f"http://127.0.0.1:{port}" in out
    assert out.endswith("stopped\n")


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", saved(tmp_path / "net"), "--port", str(port), "--quiet"]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
    assert main(["serve", str(tmp_path / "net"), "--port", "70000"]) == 2
    assert "from 1 to 65535" in capsys.readouterr().err


def test_of_a_run_the_cut_network_is_served_unless_another_has_exits(tmp_path: Path) -> None:
    run = tmp_path / "run"
    net = ac.models.MLP(depth=2, width=8, classes=2, image_size=2, channels=1)
    ac.save(net, run / "model")
    ac.save(ac.cut(net, 1), run / "small")
    assert folder_of(Options(model=str(run))) == run / "small"
    assert folder_of(Options(model=str(run), depth=2)) == run / "model"
    rule = ac.ExitRule.uniform("margin", depths=[1, 2], threshold=0.5)
    ac.ExitRecord(rule, classes=2).save(run / "model")
    assert folder_of(Options(model=str(run))) == run / "model"
    assert folder_of(Options(model=str(run), exits=False)) == run / "small"
    assert folder_of(Options(model=str(run / "small"))) == run / "small"
