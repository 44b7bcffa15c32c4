"""A wheel and an sdist built from this checkout hold the two packages, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
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
    shutil.copytree(ROOT / "src", tree / "src", ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tree)
    (tree / "tests").mkdir()
    shutil.copy(__file__, tree / "tests")  # setuptools would take it, and not what it needs
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
