"""Write docs/reliability.md from the results that the long forms left in tests/faults/results.

python tests/faults/page.py            # write it
python tests/faults/page.py --check    # fail if it is not what the results say
"""

# ruff: noqa: E501  (lines of the page)

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "reliability.md"

TOP = """\
# Reliability

This page shows what the long forms of the fault tests in `tests/faults` have measured. `python tests/faults/page.py` writes it from the results in
`tests/faults/results`. Short forms run in the test suite.
"""

KILLS = """
## Killed runs

`python tests/faults/kills.py --kills {asked}` runs `acn train`, `acn stream` and `acn compress`, kills them with SIGKILL, resumes them with `--resume`, kills some of
them again, and compares the final folder with that of an undisturbed run: networks bit for bit, metrics epoch by epoch, the report except for measured times, and no additional
file. A kill inside a write happens when half of it is done.

| kills | of `train` | of `stream` | of `compress` | inside a write | runs that ended differently |
|---|---|---|---|---|---|
| {kills} | {train} | {stream} | {compress} | {inside} | {faults} |

"Inside a write" means inside one of these calls: {calls}. The moments were drawn from seed {seed}. The test took {seconds:.0f} seconds.
"""

FLIPS = """
## Flipped bits

`python tests/faults/flips.py` flips one bit of one file of a finished run, at a position drawn from the seed, and runs a command that needs that file: settings, metrics, report,
networks, and checkpoints of a run that is to continue. Either the command reports an error (status 2, no traceback), or the result is the same, for example because the checkpoint
before the damaged one is used.

| flips | files | errors | same result | another result, or a traceback |
|---|---|---|---|---|
| {flips} | {files} | {errors} | {same} | {faults} |

The positions were drawn from seed {seed}. The test took {seconds:.0f} seconds. Pictures, pages, ONNX files and stream.json are read by people and other programs, not by any command.
"""

MUTATIONS = """
## Mutated inputs

`python tests/faults/mutate.py --kind KIND --minutes M` mutates one kind of input and runs a command that reads it, in a process that is limited to ten seconds and to 1 GiB of
memory beyond what the imports take. A fault is a traceback, a status other than 0 and 2, a hang, or more memory than that.

| kind | inputs | refused (status 2) | slowest, s | largest process, MiB | faults |
|---|---|---|---|---|---|
{rows}
"""

COST = """
## The cost of the checks

`python benchmarks/cost.py --against {against} --rounds {rounds}` loads and trains the same networks with this version and with the one before the checks were added, in turns and on
one thread. The ratio compares the lowest processor times of the two; the median of the rounds' ratios shows how far a ratio can be trusted.

| work | before, ms | now, ms | ratio | median ratio |
|---|---|---|---|---|
{rows}
"""


def page(results: list[dict[str, Any]], cost: dict[str, Any] | None = None) -> str:
    """Return the page for these results.

    Args:
        results: Results of the fault tests.
        cost: Result of benchmarks/cost.py.
    """
    by_kind = {result["kind"]: result for result in results}
    text = TOP
    if kills := by_kind.pop("kills", None):
        of = kills["by_verb"]
        text += KILLS.format(
            asked=kills["kills"],
            kills=kills["kills"],
            **{verb: of.get(verb, 0) for verb in ("train", "stream", "compress")},
            inside=kills["inside_a_write"],
            calls=", ".join(f"{call} ({count})" for call, count in kills["by_call"].items()),
            faults=kills["faults"],
            seed=kills["seed"],
            seconds=kills["seconds"],
        )
    if flips := by_kind.pop("flips", None):
        statuses = flips["statuses"]
        text += FLIPS.format(
            **{key: flips[key] for key in ("flips", "files", "faults", "seed", "seconds")},
            errors=statuses.get("2", 0),
            same=statuses.get("0", 0) - flips["faults"],
        )
    if by_kind:
        rows = [
            f"| {kind.replace('_', ' ')} | {r['inputs']:,} | {r['statuses'].get('2', 0):,} | "
            f"{r['slowest_seconds']:.1f} | {r['largest_process_mib']:.0f} | {r['faults']} |"
            for kind, r in sorted(by_kind.items())
        ]
        text += MUTATIONS.format(rows="\n".join(rows))
    if cost is not None:
        rows = [
            f"| {r['work']} | {r['before_ms']:,.1f} | {r['now_ms']:,.1f} | {r['ratio']:.2f} x | {r['median_ratio']:.2f} x |"
            for r in cost["rows"]
        ]
        text += COST.format(rows="\n".join(rows), **{k: cost[k] for k in ("against", "rounds")})
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    files = sorted((HERE / "results").glob("*.json"))
    cost = json.loads((ROOT / "benchmarks" / "results" / "cost.json").read_text())
    text = page([json.loads(path.read_text()) for path in files], cost)
    if not args.check:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        sys.exit(f"{PAGE} is not what the results say: python tests/faults/page.py")


if __name__ == "__main__":
    main()
