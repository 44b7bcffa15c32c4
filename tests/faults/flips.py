"""Flip bits in every file of a run: each verb that reads it says so, or gives the same result.

    python tests/faults/flips.py --flips 8 --out tests/faults/results/flips.json

Of a finished run of ``acn compress`` and one of ``acn stream`` every file is damaged in turn, one
bit at a time, at places drawn from the seed; so are the checkpoints of a run that has to go on. A
fault is another result with exit status 0, a status other than 0 and 2, or a traceback.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from children import Ended, import_noted, note_imports, run
from kills import VERBS, no_export, timeless

import autocompress.io
from autocompress.io.weights import sha256

#: Files that no verb reads: they are for other programs, and for eyes.
UNREAD = ("*.onnx", "*.html", "*.svg", "*.png", "*stream.json", "*README.md")


def _said(folder: Path, ended: Ended) -> Any:
    return ended.said.replace(str(folder), "RUN")


def _report(folder: Path, ended: Ended) -> Any:
    return timeless(json.loads((folder / "report.json").read_text()))


def _stream(folder: Path, ended: Ended) -> Any:
    return timeless(json.loads((folder / "stream.json").read_text()))


def _weights(folder: Path, ended: Ended) -> Any:
    return sha256(folder / "model" / "model.safetensors")


def _cut(folder: Path, ended: Ended) -> Any:
    return sha256(folder / "cut" / "model.safetensors")


@dataclass(frozen=True)
class Reader:
    """A command that reads files of a run.

    Attributes:
        files: patterns of their names in it.
        words: the command; RUN stands for the folder.
        result: what must not change.
        without: what is removed first, so that the files are needed.
    """

    files: tuple[str, ...]
    words: tuple[str, ...]
    result: Callable[[Path, Ended], Any] = _said
    without: tuple[str, ...] = ()


GO_ON = ("--config", "RUN/config.yaml", "--output", "RUN", "--resume", "true")
SHARED = ("config.yaml", "sealed.json")
READERS: dict[str, tuple[Reader, ...]] = {
    "compress": (
        Reader((*SHARED, "report.json"), ("report", "RUN")),
        Reader((*SHARED, "model/*"), ("probe", "RUN")),
        Reader((*SHARED, "model/*"), ("exit", "RUN", "--threshold", "0.5")),
        Reader(("small/*",), ("probe", "RUN/small")),
        *(Reader((f"{n}/model/*",), ("probe", f"RUN/{n}/model")) for n in ("baseline", "shallow")),
        Reader((*SHARED, "metrics.jsonl", "model/*"), ("train", *GO_ON)),
        Reader(("*metrics.jsonl", "*sealed.json", "*/model/*"), ("compress", *GO_ON), _report),
        Reader((*SHARED, "checkpoints/*"), ("train", *GO_ON), _weights, ("model",)),
        *(
            Reader((f"{n}/checkpoints/*",), ("compress", *GO_ON), _report, (f"{n}/model",))
            for n in ("baseline", "shallow", "healed")
        ),
    ),
    "stream": (
        Reader(
            ("stream.yaml", "sealed.json", "learned/*", "*/sealed.json", "*metrics.jsonl"),
            ("stream", "--config", "RUN/stream.yaml", *GO_ON[2:]),
            _stream,
        ),
        Reader(
            ("learned/*",),
            ("stream", "--config", "RUN/stream.yaml", *GO_ON[2:]),
            _stream,
            ("learned/epoch-0005",),
        ),
        Reader(
            ("task-*/checkpoints/*",),
            ("stream", "--config", "RUN/stream.yaml", *GO_ON[2:]),
            _stream,
            ("learned",),
        ),
        *(
            Reader(
                (f"task-{n}/model/*",),
                ("cut", f"RUN/task-{n}/model", "--depth", "1", "--output", "RUN/cut"),
                _cut,
            )
            for n in range(1, 6)
        ),
    ),
}


class Flips:
    """Damaged copies of finished runs.

    Args:
        folder: for the runs.
        seed: of the places.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.statuses: Counter[str] = Counter()
        self.files: set[str] = set()
        self.faults: list[str] = []

    def run(self, kind: str, flips: int) -> None:
        """Damage every file of one run."""
        whole, names = self.folder / kind, self.folder / "modules"
        words = [kind, *VERBS[kind], "--output", str(whole)]
        after = partial(note_imports, names)
        ended = run(words, self.folder / "log", before=_without_onnx, after=after)
        assert ended.status == 0, ended.said
        import_noted(names)
        everything = [p for p in sorted(whole.rglob("*")) if p.is_file()]
        for reader in READERS[kind]:
            expected = self._answer(whole, reader, None)
            assert expected[0].status == 0, expected[0].said
            for path in everything:
                name = str(path.relative_to(whole))
                removed = any(fnmatch(name, f"{gone}/*") for gone in reader.without)
                if removed or not any(fnmatch(name, pattern) for pattern in reader.files):
                    continue
                self.files.add(f"{kind}/{name}")
                for _ in range(flips):
                    self._flip(whole, reader, name, expected[1])
        unread = {f"{kind}/{p.relative_to(whole)}" for p in everything} - self.files
        self.unread = sorted(name for name in unread if not any(fnmatch(name, u) for u in UNREAD))

    def _flip(self, whole: Path, reader: Reader, name: str, expected: Any) -> None:
        bit = self.random.randrange(8 * max(1, (whole / name).stat().st_size))
        ended, found = self._answer(whole, reader, (name, bit))
        self.statuses[str(ended.status)] += 1
        what = f"bit {bit} of {name}, acn {reader.words[0]}"
        if ended.status not in (0, 2):
            self.faults.append(f"{what}: status {ended.status}: {ended.said[-500:]}")
        elif "Traceback" in ended.said:
            self.faults.append(f"{what}: {ended.said[-500:]}")
        elif ended.status == 0 and found != expected:
            self.faults.append(f"{what}: another result with status 0: {str(found)[-300:]}")

    def _answer(
        self, whole: Path, reader: Reader, flip: tuple[str, int] | None
    ) -> tuple[Ended, Any]:
        """Run a reader on a copy, damaged or not."""
        folder = self.folder / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        for gone in reader.without:
            shutil.rmtree(folder / gone)
        if flip is not None:
            path, at = folder / flip[0], flip[1]
            content = bytearray(path.read_bytes())
            content[at // 8] ^= 1 << at % 8
            path.write_bytes(content)
        words = [word.replace("RUN", str(folder)) for word in reader.words]
        ended = run(words, self.folder / "log", before=_without_onnx)
        return ended, reader.result(folder, ended) if ended.status == 0 else None

    def result(self, seed: int, start: float) -> dict[str, Any]:
        """Return what came of it, as JSON."""
        return {
            "kind": "flips",
            "seed": seed,
            "flips": sum(self.statuses.values()),
            "files": len(self.files),
            "statuses": dict(sorted(self.statuses.items())),
            "faults": len(self.faults),
            "first_faults": self.faults[:20],
            "seconds": round(time.monotonic() - start, 1),
        }


def _without_onnx() -> None:
    autocompress.io.export_file = no_export


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=8, help="of every file, for every reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", nargs="*", default=list(READERS), choices=list(READERS))
    parser.add_argument("--out", type=Path, default=None, help="file for the result")
    args = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="acn-flips-") as folder:
        flips = Flips(Path(folder), args.seed)
        for kind in args.runs:
            flips.run(kind, args.flips)
            assert not flips.unread, f"no reader reads {flips.unread}"
        found = flips.result(args.seed, start)
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if args.out is not None:
        args.out.write_text(text)
    sys.exit(1 if found["faults"] else 0)


if __name__ == "__main__":
    main()
