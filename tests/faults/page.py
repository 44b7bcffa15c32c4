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
PAGE = HERE.parents[1] / "docs" / "reliability.md"

TOP = """\
# Reliability

What the long forms of `tests/faults` have measured; this page is written by `python tests/faults/page.py` from the results that they left
in `tests/faults/results`. Short forms run with every test run.
"""

KILLS = """
## Killed runs

`python tests/faults/kills.py --kills {asked}` runs `acn train`, `acn stream` and `acn compress`, kills them with SIGKILL, lets them go on with
`--resume true`, kills some again, and compares the folder that is left in the end with one of a run that nobody touched: networks bit for bit,
metrics epoch by epoch, the report but for what a clock says, and no file that is not there too. A kill inside a write comes when half of it is
done.

| kills | of `train` | of `stream` | of `compress` | inside a write | runs that ended otherwise |
|---|---|---|---|---|---|
| {kills} | {train} | {stream} | {compress} | {inside} | {faults} |

Inside a write means inside one of these calls: {calls}. The moments are drawn from seed {seed}; it took {seconds:.0f} seconds.
"""

FLIPS = """
## Flipped bits

`python tests/faults/flips.py` flips one bit of one file of a finished run, at a place that the seed draws, and lets a verb read it that needs
that file: settings, metrics, report, networks, and checkpoints of a run that has to go on. Either it is an error (status 2, no traceback), or
the result is the same, e.g. as the checkpoint before the damaged one is taken.

| flips | files | errors | same result | another result, or a traceback |
|---|---|---|---|---|
| {flips} | {files} | {errors} | {same} | {faults} |

Seed {seed}; it took {seconds:.0f} seconds. Pictures, pages, ONNX files and stream.json are for people and other programs; no verb
reads them.
"""

MUTATIONS = """
## Mutated inputs

`python tests/faults/mutate.py --kind KIND --minutes M` mutates one kind of input and lets a command read it, in a process that may take 1 GiB
beyond what the imports take and ten seconds. A fault is a traceback, a status other than 0 and 2, a hang, or more memory than that.

| kind | inputs | refused (status 2) | slowest, s | largest process, MiB | faults |
|---|---|---|---|---|---|
{rows}
"""


def page(results: list[dict[str, Any]]) -> str:
    """Return the page for these results."""
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
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    files = sorted((HERE / "results").glob("*.json"))
    text = page([json.loads(path.read_text()) for path in files])
    if not args.check:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        sys.exit(f"{PAGE} is not what the results say: python tests/faults/page.py")


if __name__ == "__main__":
    main()
