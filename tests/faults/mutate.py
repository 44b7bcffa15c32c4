"""Mutate one kind of input for as long as asked; print what came of it as JSON.

    python tests/faults/mutate.py --minutes 10 --kind yaml
    python tests/faults/mutate.py --kind words --seed 1234 --trials 1    # one again

A kind is a file ``kind_NAME.py`` beside this one with a function ``trial(rng, folder)``: it writes
a mutated input into the empty ``folder`` and returns the words of a command that reads it. The
commands run in a child process that may take 1 GiB beyond what the imports take; one that does not
answer within 10 seconds is killed, and counted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

#: Kinds by name: ``config_json`` is in kind_config_json.py.
KINDS = sorted(path.stem.removeprefix("kind_") for path in HERE.glob("kind_*.py"))
GIB = 2**30
LIMIT = 10.0


def _work(kind: str, pipe: Connection) -> None:
    """Run one trial for each seed that comes through the pipe."""
    import conftest  # noqa: F401  (with it transformers imports, as in the tests)
    from faults.networks import warm_up
    from faults.watch import watched

    trial = importlib.import_module(f"faults.kind_{kind}").trial
    warnings.simplefilter("ignore")
    warm_up()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + GIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send("ready")
    while True:
        seed = pipe.recv()
        with tempfile.TemporaryDirectory(prefix="acn-trial-") as folder:
            words = trial(random.Random(seed), Path(folder))
            os.chdir(folder)
            pipe.send(words)
            outcome = watched(words)
            os.chdir("/")
        pipe.send({**vars(outcome), "fault": outcome.fault, "words": words})


class _Child:
    """A child process; a new one where the last was killed."""

    def __init__(self, kind: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(kind, theirs), daemon=True)
        self.process.start()
        theirs.close()
        assert self.pipe.recv() == "ready"

    def run(self, seed: int) -> dict[str, Any]:
        self.pipe.send(seed)
        words: list[str] = []
        try:
            words = self.pipe.recv()
            if self.pipe.poll(LIMIT + 1):
                return dict(self.pipe.recv())
            fault = "longer than 10 s"
        except EOFError:
            fault = "the process died"
        self.process.kill()
        self.process.join()
        return {"status": None, "said": "", "fault": fault, "words": words, "seconds": LIMIT}


def run(kind: str, seconds: float, seed: int, trials: int | None) -> dict[str, Any]:
    """Return counts, worst values and the first faults of a kind."""
    child, end = _Child(kind), time.monotonic() + seconds
    done, statuses, faults, slowest, mib = 0, Counter[str](), [], 0.0, 0.0
    while time.monotonic() < end and (trials is None or done < trials):
        found = child.run(seed + done)
        statuses[str(found["status"])] += 1
        slowest, mib = max(slowest, found["seconds"]), max(mib, found.get("mib", 0.0))
        if found["fault"] is not None:
            words = [word[:200] for word in found["words"]]
            faults.append(
                {**found, "seed": seed + done, "words": words, "said": found["said"][-3000:]}
            )
        if not child.process.is_alive():
            child = _Child(kind)
        done += 1
    child.process.kill()
    return {
        "kind": kind,
        "seed": seed,
        "inputs": done,
        "statuses": dict(statuses),
        "faults": len(faults),
        "slowest_seconds": slowest,
        "largest_process_mib": mib,
        "first_faults": faults[:20],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first input; the next has one more"
    )
    parser.add_argument("--trials", type=int, default=None, help="stop after this many inputs")
    args = parser.parse_args()
    found = run(args.kind, 60 * args.minutes, args.seed, args.trials)
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["faults"] else 0)


if __name__ == "__main__":
    main()
