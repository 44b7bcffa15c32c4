"""A server on loopback: answers, limits, and clients that misbehave."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from PIL import Image

import autocompress as ac
from autocompress.data.tokenizer import train_tokenizer
from autocompress.serve import Limits, build_app
from autocompress.serve.waiting import hurried

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("python_multipart")
uvicorn = pytest.importorskip("uvicorn")

NAMES = ["cat", "dog", "cow"]
LIMITS = Limits(bytes=20_000, seconds=5.0, inputs=4, queued=50, batch=8, wait_ms=5.0)


class Server:
    def __init__(self, predictor: ac.Predictor, limits: Limits) -> None:
        app = build_app(predictor, limits=limits, name="pets")
        http = hurried(limits.seconds)
        config = uvicorn.Config(app, port=0, log_level="critical", ws="none", http=http)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        end = time.monotonic() + 60
        while not self.server.started and time.monotonic() < end:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)

    def ask(self, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.port}{path}"
        headers = {"content-type": kind} if kind else {}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, body, headers), timeout=30
            ) as reply:
                return reply.status, _read(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error)

    def raw(self, data: bytes, wait: bool = True) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            return connection.recv(65536) if wait else b""


def _read(reply: Any) -> Any:
    data = reply.read()
    return json.loads(data) if "json" in reply.headers["content-type"] else data.decode()


def pictured() -> ac.Network:
    torch.manual_seed(0)
    net = ac.models.MLP(depth=2, width=8, classes=3, image_size=4, channels=1)
    net.class_names = NAMES
    net.preprocess = ac.data.ImageInput(size=(4, 4), channels=1, resize=True).to_json()
    return net.eval()


@pytest.fixture(scope="module")
def pictures() -> Iterator[Server]:
    server = Server(ac.Predictor(pictured(), exit_below=9.9), LIMITS)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def texts() -> Iterator[Server]:
    torch.manual_seed(0)
    tokenizer = train_tokenizer([["a fine film"]], vocabulary=30).for_task("text-classification", 8)
    net = ac.models.Encoder(
        depth=1, width=8, heads=2, length=8, classes=3, vocabulary=tokenizer.size
    )
    net.tokenizer, net.class_names = tokenizer.text, NAMES
    server = Server(ac.Predictor(net.eval()), LIMITS)
    yield server
    server.stop()


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), level).save(buffer, "PNG")
    return buffer.getvalue()


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n'
        b"Content-Type: image/png\r\n\r\n%s\r\n" % (name.encode(), data)
        for name, data in files
    ]
    return b"".join(parts) + b"--x--\r\n", "multipart/form-data; boundary=x"


def test_a_picture_as_body_as_file_and_in_json(pictures: Server) -> None:
    expected = ac.Predictor(pictured(), exit_below=9.9)(Image.new("L", (4, 4), 90))
    encoded = json.dumps({"image": base64.b64encode(png(90)).decode()}).encode()
    for body, kind in (
        (png(90), "image/png"),
        form(("one.png", png(90))),
        (encoded, "application/json"),
    ):
        status, said = pictures.ask("/predict", body, kind)
        assert status == 200
        (one,) = said["predictions"]
        assert (one["label"], one["depth"]) == (expected.label, 1)
        assert one["probability"] == pytest.approx(expected.probability, abs=1e-5)
    (one,) = pictures.ask("/predict?exits=false&top=1", png(90), "image/png")[1]["predictions"]
    assert one["depth"] is None
    assert len(one["top"]) == 1


def test_the_rest_of_a_request_is_answered(pictures: Server) -> None:
    status, said = pictures.ask("/predict", *form(("a.png", png(1)), ("b.png", b"no picture")))
    assert status == 200
    good, bad = said["predictions"]
    assert good["label"] in NAMES
    assert "b.png" in bad["error"]
    assert "\n" not in bad["error"]


def test_texts(texts: Server) -> None:
    body = json.dumps({"texts": ["a fine film", "film"]}).encode()
    status, said = texts.ask("/predict", body, "application/json")
    assert status == 200
    plain = texts.ask("/predict", b"a fine film", "text/plain")[1]["predictions"][0]
    assert plain["label"] == said["predictions"][0]["label"]
    assert plain["probability"] == pytest.approx(said["predictions"][0]["probability"], abs=1e-5)
    assert texts.ask("/predict", png(3), "image/png")[0] == 415
    assert texts.ask("/predict", b'{"texts": [3]}', "application/json")[0] == 422
    half = rb'{"texts": ["\ud800 film", "a fine film"]}'  # no UTF-8 can hold the first
    status, said = texts.ask("/predict", half, "application/json")
    assert status == 200
    assert said["predictions"][0]["error"].startswith("text 0 is not Unicode text")
    assert said["predictions"][1]["label"] == plain["label"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b"[" * 5000, "application/json", 400, "not JSON"),
        (b"[]", "application/json", 400, "expected a JSON object"),
        (b"{}", "application/json", 400, "neither 'images' nor 'image'"),
        (b'{"images": []}', "application/json", 400, "holds no input"),
        (b'{"image": "%%%"}', "application/json", 422, "is not base64"),
        (b'{"images": ["", "", "", "", ""]}', "application/json", 413, "at most 4"),
        (b"", "image/png", 422, "0 bytes"),
        (b"no picture", "image/png", 422, "picture 0"),
        (b"a text", "text/plain", 415, "takes pictures"),
        (b"x", "application/x-unknown", 415, "not understood"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400, ""),
        (b"", "multipart/form-data", 400, ""),
        (b"x" * 20_001, "image/png", 413, "larger than 20000 bytes"),
    ],
)
def test_a_bad_request_gets_one_line(
    body: bytes, kind: str, status: int, words: str, pictures: Server
) -> None:
    got, said = pictures.ask("/predict", body, kind)
    assert got == status, said
    assert words in said["error"]
    assert "\n" not in said["error"]


@pytest.mark.parametrize("query", ["top=0", "top=x", "top=-1", "top=9999999", "exits=maybe"])
def test_a_query_that_makes_no_sense(query: str, pictures: Server) -> None:
    assert pictures.ask(f"/predict?{query}", png(0), "image/png")[0] == 400


def test_bytes_that_are_no_request_and_clients_that_go(pictures: Server) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    assert b" 400 " in pictures.raw(b"\x00\x01nonsense\r\n\r\n").partition(b"\r\n")[0]
    chunk = b"%x\r\n%s\r\n" % (15_000, b"x" * 15_000)
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2
    assert b" 413 " in pictures.raw(chunked).partition(b"\r\n")[0]
    for _ in range(5):  # they leave before their answer
        pictures.raw(head + b"Content-Length: 100\r\n\r\n" + b"x" * 10, wait=False)
        pictures.raw(head + b"Content-Length: %d\r\n\r\n" % len(png(7)) + png(7), wait=False)
    assert pictures.ask("/predict", png(5), "image/png")[0] == 200


def test_a_client_that_sends_too_much_gets_the_reason(pictures: Server) -> None:
    for size in (LIMITS.bytes + 1, 3_000_000, 30_000_000):
        head = f"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: {size}\r\n"
        said = pictures.raw(head.encode() + b"\r\n" + bytes(size))
        assert said.startswith(b"HTTP/1.1 413"), said[:100]
    # who asks for leave first is answered before it sends
    said = pictures.raw(head.encode() + b"expect: 100-continue\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 413"), said[:100]
    assert pictures.ask("/predict", png(9), "image/png")[0] == 200


def test_many_at_once_are_answered_in_batches(pictures: Server) -> None:
    def one(level: int) -> tuple[int, Any]:
        return pictures.ask("/predict", png(level), "image/png")

    alone = {level: one(level)[1]["predictions"][0] for level in (0, 120, 250)}
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(one, [0, 120, 250] * 12))
    for number, (status, said) in enumerate(found):
        expected = alone[(0, 120, 250)[number % 3]]
        assert status == 200
        assert said["predictions"][0]["label"] == expected["label"]
        assert said["predictions"][0]["probability"] == pytest.approx(
            expected["probability"], abs=1e-5
        )


def test_health_metrics_and_page(pictures: Server) -> None:
    status, said = pictures.ask("/health")
    assert (status, said["status"], said["model"], said["takes"]) == (200, "ok", "pets", "pictures")
    pictures.ask("/predict", png(5), "image/png")
    text = pictures.ask("/metrics")[1]
    assert 'acn_requests_total{status="200"}' in text
    assert 'acn_exit_depth_total{depth="1"}' in text
    page = pictures.ask("/")[1]
    assert "Drop a picture" in page
    assert "://" not in page  # it loads nothing from elsewhere
    for path, status in (("/docs", 404), ("/redoc", 404), ("/predict", 405)):
        assert pictures.ask(path)[0] == status  # FastAPI's own pages would load something
        assert f"does not answer GET {path};" in pictures.ask(path)[1]["error"]


def test_a_body_that_does_not_come_and_a_queue_that_is_full() -> None:
    slow = Limits(bytes=1000, seconds=0.3, inputs=4, queued=2, batch=1, wait_ms=0)
    server = Server(ac.Predictor(pictured()), slow)
    try:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        reply = server.raw(head + b"Content-Length: 100\r\n\r\nx")
        assert b" 408 " in reply.partition(b"\r\n")[0]
        assert 'acn_requests_total{status="408"} 1.0' in server.ask("/metrics")[1]
        assert server.raw(b"POST /predict HTTP/1.1\r\nHost") == b""  # closed: no head came in time
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as kept:
            kept.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            said = b""
            while not said.endswith(b"}"):
                said += kept.recv(65536)
            assert b" 200 " in said
            kept.sendall(b"GET /hea")  # nor that of a second request
            assert kept.recv(65536) == b""
        status, said = server.ask("/predict", *form(*[(f"{n}.png", b"-") for n in range(3)]))
        assert (status, "try again" in said["error"]) == (503, True)
    finally:
        server.stop()


def test_limits_that_make_no_sense() -> None:
    with pytest.raises(ac.errors.ConfigError, match="limit seconds 0 must be above 0"):
        Limits(seconds=0)
