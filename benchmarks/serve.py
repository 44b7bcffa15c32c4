"""A bounded load test of ``acn serve`` on loopback: full, cut and cascade.

Each server is a process of its own. Clients keep their connections and ask one picture at a time,
``--clients`` at once; then come malformed, oversized and broken-off requests, after which the
server must still answer. Every request that was sent whole must have got an answer.

A request costs the server processor time for HTTP, the picture and the network. The network's share
is measured apart, by passes of batches as large as the server's, and that of HTTP by requests to
/health; what is left is decoding, preparation and the words of answers. Processor time depends on
what else the machine does far less than requests per second.

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
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "deploy.md"


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


def processor_s(process: subprocess.Popen[bytes]) -> float:
    """Return the processor time of a running process (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def health_ms(port: int, process: subprocess.Popen[bytes], requests: int = 300) -> float:
    """Return the server's processor time for a request that computes nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    start = processor_s(process)
    for _ in range(requests):
        ask(connection, "GET", "/health")
    return 1e3 * (processor_s(process) - start) / requests


def batches(port: int) -> tuple[float, float]:
    """Return how many inputs the server has computed, and in how many batches."""
    _, text = ask(http.client.HTTPConnection("127.0.0.1", port, timeout=60), "GET", "/metrics")
    rows = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if line[0] != "#")
    return float(rows["acn_batch_size_sum"]), float(rows["acn_batch_size_count"])


def network_ms(model: str, name: str, depth: int, batch: int) -> float:
    """Return the processor time of the network alone for a picture in a batch, in this process."""
    import torch

    from autocompress.pipeline.saved import find_model

    torch.set_num_threads(1)
    folder = find_model(Path(model))
    net = ac.load(folder).eval()
    net = ac.cut(net, depth) if name == "cut" else net
    images = ac.load_data(ac.DataConfig(name="digits")).test.images[:256]
    x = ac.data.ImageInput.of(net.preprocess)(images)
    record = ac.ExitRecord.load(folder)

    def run(rows: Any) -> None:
        if name == "cascade" and record is not None:
            ac.early_exit(net, rows, record.rule, count=False)
        else:
            net(rows)

    with torch.inference_mode():
        run(x[:batch])
        start, rounds = time.process_time(), 3
        for _ in range(rounds):
            for at in range(0, 256 - batch + 1, batch):
                run(x[at : at + batch])
    return 1e3 * (time.process_time() - start) / (rounds * (256 // batch * batch))


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


def table() -> str:
    """Return the committed results as Markdown."""
    from autocompress.printing import markdown

    lines = []
    for name, net in (("serve", "4 x 32"), ("serve-wide", "12 x 96")):
        ways = json.loads((RESULTS / f"{name}.json").read_text())
        if "network_ms" not in ways["ways"]["full"]:  # measured before processor time was
            continue
        depth = ways["settings"]["depth"]
        for way, row in ways["ways"].items():
            mean = f", mean depth {row['mean_depth'] or 0:.1f}"
            kept = {"cut": f" to {depth} layers", "cascade": mean}
            spent = [row["processor_ms"], row["http_ms"], row["network_ms"]]
            spent.append(spent[0] - spent[1] - spent[2])
            lines.append(
                (
                    f"{net}, {way}{kept.get(way, '')}",
                    *(f"{row[key]:.0f}" for key in ("p50_ms", "p99_ms", "per_second")),
                    *(f"{value:.1f}" for value in spent),
                    str(row["unanswered"]),
                )
            )
    headings = ["network", "p50, ms", "p99, ms", "requests per second", "processor, ms"]
    headings += ["of it HTTP", "network", "rest", "unanswered"]
    return markdown(headings, lines)


def marked(page: str) -> str:
    """Return docs/deploy.md with the table of the committed results."""
    from autocompress_studies.page import between

    return between(page, "serve", table())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="run, or saved network of digits with exits")
    parser.add_argument("--depth", type=int, help="depth of the cut")
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("--name", default="serve", help="name of the file of results")
    args = parser.parse_args()
    if args.table:
        PAGE.write_text(marked(PAGE.read_text()))
        return
    if args.model is None or args.depth is None:
        parser.error("--model and --depth are needed")
    data = pictures(64)
    ways = {"full": ["--exits", "false"], "cut": ["--depth", str(args.depth)], "cascade": []}
    found: dict[str, Any] = {}
    for number, (name, options) in enumerate(ways.items()):
        server = serve(args.model, args.port + number, options)
        try:
            port = args.port + number
            load(port, data, args.clients, 50)  # warm
            inputs, count = batches(port)
            start = processor_s(server)
            found[name] = load(port, data, args.clients, args.requests)
            spent = 1e3 * (processor_s(server) - start) / args.requests
            more, later = batches(port)
            mean = (more - inputs) / (later - count)
            found[name] |= {
                "processor_ms": spent,
                "http_ms": health_ms(port, server),
                "network_ms": network_ms(args.model, name, args.depth, max(1, round(mean))),
                "mean_batch": mean,
            }
            found[name]["misbehaviour"] = misbehave(port, data[0])
            if server.poll() is not None:
                raise SystemExit(f"the server of {name} ended")
        finally:
            server.terminate()
            server.wait(60)
        print(name, json.dumps(found[name]), flush=True)
    settings = {
        "model": Path(args.model).name,
        "depth": args.depth,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    target = RESULTS / f"{args.name}.json"
    target.write_text(json.dumps({"settings": settings, "ways": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
