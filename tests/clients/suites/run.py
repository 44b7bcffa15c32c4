"""``make clients``: the suites of transformers and timm, and every test here; docs/clients.md.

    python tests/clients/suites/run.py [--only timm] [--sdist DIR] [--keep]

A check is compared with the plain network's: what fails for both says nothing about this library.
Exit status 1: a test here failed, or a check passes for the plain network only and is not one of
those that are refused.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build" / "clients"
PAGE = ROOT / "docs" / "clients.md"

TRANSFORMERS = ("bert", "vit")
TIMM = (
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "beit_base_patch16_224",
    "eva02_tiny_patch14_336",
    "mixer_s32_224",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
)

#: The parts of transformers' tests that its distribution leaves out and the common ones import.
MISSING = {
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
}

CLIENTS = (
    *("joblib", "lightning", "lm_eval", "peft", "sentence-transformers", "skorch", "timm"),
    *("torch", "torch-pruning", "torchao", "transformers"),
)

#: Checks of what is refused in one sentence: they pass for the plain networks only.
REFUSED = {"test_feed_forward_chunking", "test_traced_and_scripted"}

#: Take the reports of the last run where there are any.
KEEP = "--keep" in sys.argv

HEAD = """# What other tools do with a converted network

Made by `make clients`; do not edit. A converted network stands where its host stood, so the right
answer is always the plain network's. The first table is of the tests in `tests/clients`, each of
which compares with it; tests of a tool that is not installed are skipped (extra `clients`). The
others are the test suites of the libraries themselves, run on their own classes and on ours, and
counted by the names of their tests. Two checks pass for the plain networks only, as both are
refused in one sentence: chunked feed-forward layers (`chunk_size_feed_forward`, at conversion) and
`torch.jit.script`.

Versions: {versions}.

Run on {day}, Python {python}, {cores} cores ({machine}); the tests took {minutes:.0f} minutes.
"""

#: The reports that this page is made of.
REPORTS: list[Path] = []


def junit(path: Path) -> dict[str, str]:
    """Outcome of every test in a report: passed, failed or skipped."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "passed"
        outcome = "skipped" if "skipped" in kinds else outcome
        module = str(case.get("classname")).rpartition(".")[2]
        found[f"{module}::{case.get('name')}"] = outcome
    return found


def run_tests(name: str, words: list[str], where: Path, **more: str) -> dict[str, str]:
    """Run pytest in a process of its own; outcomes by test."""
    BUILD.mkdir(parents=True, exist_ok=True)
    report = BUILD / f"{name}.xml"
    REPORTS.append(report)
    if KEEP and report.exists():
        return junit(report)
    report.unlink(missing_ok=True)
    paths = os.pathsep.join(
        [
            str(ROOT / "tests"),
            str(where),
            str(HERE),
            str(ROOT / "src"),
            os.environ.get("PYTHONPATH", ""),
        ]
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
    ]
    subprocess.run(
        [*command, *words], cwd=where, env={**os.environ, "PYTHONPATH": paths, **more}, check=False
    )
    return junit(report) if report.exists() else {}


def download(name: str, folder: Path, tries: int = 3) -> None:
    """Fetch a source distribution, again if the connection breaks."""
    # of this one alone: with ":all:" pip would build setuptools from its source as well
    only = ["--no-binary", name.partition("==")[0], "--no-deps"]
    words = ["download", *only, "--quiet", name, "-d", str(folder)]
    for left in reversed(range(tries)):
        done = subprocess.run([sys.executable, "-m", "pip", *words], check=not left)
        if done.returncode == 0:
            return


def suite_of_transformers(sdist: Path | None) -> Path:
    """A folder from which ``tests.test_modeling_common`` of the installed version is imported."""
    version = importlib.metadata.version("transformers")
    folder = BUILD / f"transformers-{version}"
    if not (folder / "tests").exists():
        source = sdist or BUILD / "sdist"
        if not list(source.glob("transformers-*.tar.gz")):
            download(f"transformers=={version}", source)
        with tarfile.open(source / f"transformers-{version}.tar.gz") as archive:
            inside = [m for m in archive.getmembers() if "/tests/" in m.name]
            archive.extractall(BUILD, inside, filter="data")
        for name, text in MISSING.items():
            path = folder / "tests" / name
            path.parent.mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
            if not path.exists():
                path.write_text(text)
        (folder / "tests" / "__init__.py").touch()
    return folder


def compared(plain: dict[str, str], ours: dict[str, str]) -> tuple[str, list[str]]:
    """A row's numbers, and the checks that pass for the plain network only."""
    counts = [Counter(outcomes.values()) for outcomes in (plain, ours)]
    numbers = [f"{c['passed']} / {c['failed']} / {c['skipped']}" for c in counts]
    only = [name for name, was in plain.items() if was == "passed" and ours.get(name) != "passed"]
    return " | ".join(numbers), only


def suites(only: str | None, sdist: Path | None) -> tuple[list[str], list[str]]:
    """The lines of the page about the suites of the libraries, and what is wrong."""
    lines: list[str] = []
    wrong: list[str] = []
    # our own conftest, as a plugin, lets torchvision import; our pytest options are not theirs
    BUILD.mkdir(parents=True, exist_ok=True)
    settings = BUILD / "pytest.ini"
    settings.write_text("[pytest]\n")
    options = ["-c", str(settings), "-W", "ignore", "--noconftest", "-p", "conftest"]
    for library, names, prefix in (("transformers", TRANSFORMERS, "acn-"), ("timm", TIMM, "acn_")):
        if only not in (None, library):
            continue
        where = suite_of_transformers(sdist) if library == "transformers" else BUILD
        where.mkdir(parents=True, exist_ok=True)
        file = where / f"test_suite_of_{library}.py"
        file.write_text((HERE / f"of_{library}.py").read_text())
        said = "common model tests of its distribution" if library == "transformers" else "checks"
        lines += ["", f"## {library}: {said}", ""]
        lines += [
            "| network | plain: passed / failed / skipped | ours | plain only |",
            "|---|---|---|---|",
        ]
        for name in names:
            outcomes = [
                run_tests(
                    f"{library}-{kind}",
                    [*options, f"--rootdir={where}", file.name],
                    where,
                    ACN_SUITE=kind,
                )
                for kind in (name, prefix + name)
            ]
            numbers, lost = compared(*outcomes)
            lost = [one.partition("::")[2] for one in lost]
            shown = ", ".join(f"`{one}`" for one in lost) or "none"
            lines.append(f"| {name} | {numbers} | {shown} |")
            wrong += [f"{prefix}{name}: {one}" for one in lost if one not in REFUSED]
            if "passed" not in outcomes[0].values():
                wrong.append(f"{name}: nothing of {library}'s suite passes")
    return lines, wrong


def own() -> tuple[list[str], list[str]]:
    """The lines of the page about the tests of this repository, and what is wrong."""
    found = run_tests("own", ["tests/clients"], ROOT)
    lines = ["| test | check | outcome |", "|---|---|---|"]
    for name, outcome in found.items():
        module, _, check = name.partition("::")
        words = check.removeprefix("test_").replace("_", " ")
        lines.append(f"| {module.removeprefix('test_').replace('_', ' ')} | {words} | {outcome} |")
    wrong = [name for name, outcome in found.items() if outcome == "failed"]
    return lines, wrong if found else ["no test of tests/clients ran"]


def versions() -> str:
    known = []
    for name in CLIENTS:
        try:
            known.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            known.append(f"{name} not installed")
    return ", ".join(known)


def circumstances() -> dict[str, Any]:
    """When, where and for how long the tests ran, as their reports say."""
    roots = [ElementTree.parse(path).getroot() for path in REPORTS if path.exists()]
    runs = [run for root in roots for run in root.iter("testsuite")]
    return {
        "day": max((str(run.get("timestamp"))[:10] for run in runs), default="no day"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "minutes": sum(float(run.get("time", 0)) for run in runs) / 60,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["own", "transformers", "timm"])
    parser.add_argument("--sdist", type=Path, help="folder with the source distribution")
    parser.add_argument("--keep", action="store_true", help="use the reports of the last run")
    args = parser.parse_args()
    lines: list[str] = []
    wrong: list[str] = []
    parts = {"own": own, "suites": lambda: suites(args.only, args.sdist)}
    for name, part in parts.items():
        if args.only is None or (args.only == "own") == (name == "own"):
            more, failed = part()
            lines, wrong = lines + more, wrong + failed
    target = PAGE if args.only is None else BUILD / f"{args.only}.md"
    head = HEAD.format(versions=versions(), **circumstances())
    target.write_text("\n".join([head, *lines]) + "\n")
    print(target, *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
