"""A wheel holds the two packages and nothing else, an sdist all that testing and packaging need."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import autocompress

ROOT = Path(__file__).parents[1]
BUILD = "import setuptools.build_meta as b; b.build_sdist('dist'); print(b.build_wheel('dist'))"


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".github" / "check_release.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_published(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("benchmarks", "docs", "notebooks", "recipes", "src", "tests"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=skip)
    shutil.copytree(ROOT / ".github", tree / ".github")
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":  # of a worktree it is a file
            shutil.copy(path, tree)
    cached = tree / "tests" / "__pycache__" / "toy.cpython-311.pyc"  # as tests leave it there
    cached.parent.mkdir()
    cached.touch()
    subprocess.run([sys.executable, "-c", BUILD], cwd=tree, check=True, capture_output=True)
    dist = str(tree / "dist")
    tag = f"v{autocompress.__version__}"
    assert check(dist, tag).stdout == "wheel and sdist are complete\n"

    assert "the tag is v9.9" in check(dist, "v9.9").stdout
    wheel = next((tree / "dist").glob("*.whl"))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), "out"], cwd=tree, check=True)
    (tree / "out" / "autocompress" / "py.typed").unlink()
    (tree / "out" / "stray.py").touch()
    wheel.unlink()
    shutil.make_archive(str(wheel), "zip", tree / "out")
    wheel.with_name(wheel.name + ".zip").rename(wheel)
    found = check(dist, tag)
    assert found.returncode == 1
    assert "missing: autocompress/py.typed" in found.stdout
    assert "should not be there: stray.py" in found.stdout


def test_an_sdist_that_lacks_something_or_holds_more_is_told(tmp_path: Path) -> None:
    """Packagers run the tests from it; nobody wants our folders of data."""
    lacking = tmp_path / "autocompress-1.tar.gz"
    with tarfile.open(lacking, "w:gz") as file:
        for name in ("README.md", "shared/data.bin", "tests/data.bin"):
            (tmp_path / "one").touch()
            file.add(tmp_path / "one", f"autocompress-1/{name}")
    told = check(str(tmp_path)).stdout.splitlines()
    for name in ("SECURITY.md", "tests/toy.py", "recipes/digits.yaml", "docs/index.md"):
        assert f"missing from the sdist: {name}" in told
    assert "missing from the sdist: README.md" not in told
    assert [line for line in told if line.startswith("not for")] == [
        "not for the sdist: shared/data.bin",
        "not for the sdist: tests/data.bin",
    ]
