"""A bounded load test of ``acn serve`` on loopback: full, cut and cascade.

Each server is a process of its own. Clients keep their connections and ask one picture at a time,
``--clients`` at once; then come malformed, oversized and broken-off requests, after which the
server must still answer. Every request that was sent whole must have got an answer.

    python benchmarks/serve.py --model runs/digits --depth 4  # writes benchmarks/results/serve.json
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

import autocompress as ac

ROOT = Path(__file__).parents[1]


def pictures(count: int) -> list[bytes]:
    """Return encoded test pictures of digits."""
    found = []
    for image in ac.load_data(ac.DataConfig(name="digits")).test.images[:count]:
        buffer = io.BytesIO()
        Image.fromarray(image[0].numpy()).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


def serve(model: str, port: int, options: list[str]) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers."""
    words = [sys.executable, "-m", "autocompress", "serve", model, "--port", str(port), "--quiet"]
    process = subprocess.Popen([*words, *options])
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            ask(http.client.HTTPConnection("127.0.0.1", port, timeout=5), "GET", "/health")
            return process
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with status {process.returncode}") from None
            time.sleep(0.2)
    process.terminate()
    raise SystemExit("the server did not start within five minutes")


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[int, Any]:
    connection.request(method, path, body, {"content-type": "image/png"} if body else {})
    reply = connection.getresponse()
    data = reply.read()
    return reply.status, json.loads(data) if data[:1] == b"{" else data


def load(port: int, data: list[bytes], clients: int, requests: int) -> dict[str, Any]:
    """Return times and statuses of ``requests`` requests by ``clients`` clients at once."""
    times: list[float] = []
    statuses: dict[str, int] = {}
    depths: list[int] = []
    lock, left = threading.Lock(), iter(range(requests))

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            start = time.perf_counter()
            try:
                status, said = ask(connection, "POST", "/predict", data[number % len(data)])
                name = str(status)
            except OSError as error:
                name, said = type(error).__name__, {}
                connection.close()
            took = 1e3 * (time.perf_counter() - start)
            with lock:
                times.append(took)
                statuses[name] = statuses.get(name, 0) + 1
                for one in said.get("predictions", []):
                    depths.extend([one["depth"]] if one["depth"] is not None else [])

    start = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {
        "requests": requests,
        "clients": clients,
        "statuses": statuses,
        "unanswered": requests - sum(n for name, n in statuses.items() if name.isdigit()),
        "p50_ms": cuts[49],
        "p99_ms": cuts[98],
        "per_second": requests / seconds,
        "mean_depth": statistics.mean(depths) if depths else None,
    }


def misbehave(port: int, good: bytes) -> dict[str, Any]:
    """Send what no client should, and return the statuses; the server answers afterwards."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    sent = {
        "nonsense": b"\x00\x01\x02\r\n\r\n",
        "no picture": head + b"Content-Length: 5\r\n\r\nhello",
        "cut picture": head
        + b"Content-Length: %d\r\n\r\n" % (len(good) // 2)
        + good[: len(good) // 2],
        "said to be too large": head + b"Content-Length: 99999999999\r\n\r\n",
        "malformed JSON": head.replace(b"image/png", b"application/json")
        + b"Content-Length: 1\r\n\r\n{",
    }
    found: dict[str, Any] = {}
    for name, data in sent.items():
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(data)
            line = connection.recv(4096).partition(b"\r\n")[0].split()
            found[name] = int(line[1]) if len(line) > 1 else None
    for _ in range(50):  # killed clients, in the body and before the answer
        for data in (
            head + b"Content-Length: 1000\r\n\r\nx",
            head + b"Content-Length: %d\r\n\r\n" % len(good) + good,
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(data)
    status, _ = ask(
        http.client.HTTPConnection("127.0.0.1", port, timeout=60), "POST", "/predict", good
    )
    return {**found, "killed clients": 100, "afterwards": status}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="run, or saved network of digits with exits")
    parser.add_argument("--depth", type=int, required=True, help="depth of the cut")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--port", type=int, default=8790)
    args = parser.parse_args()
    data = pictures(64)
    ways = {"full": ["--exits", "false"], "cut": ["--depth", str(args.depth)], "cascade": []}
    found: dict[str, Any] = {}
    for number, (name, options) in enumerate(ways.items()):
        server = serve(args.model, args.port + number, options)
        try:
            load(args.port + number, data, args.clients, 50)  # warm
            found[name] = load(args.port + number, data, args.clients, args.requests)
            found[name]["misbehaviour"] = misbehave(args.port + number, data[0])
            if server.poll() is not None:
                raise SystemExit(f"the server of {name} ended")
        finally:
            server.terminate()
            server.wait(60)
        print(name, json.dumps(found[name]), flush=True)
    settings = {"depth": args.depth, "cores": os.cpu_count(), "load": os.getloadavg()}
    target = ROOT / "benchmarks" / "results" / "serve.json"
    target.write_text(json.dumps({"settings": settings, "ways": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
