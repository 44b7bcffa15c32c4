"""Check what a wheel and an sdist hold before they are published.

python .github/check_release.py DIST [TAG]
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("autocompress", "autocompress_studies")
#: What the sdist holds beside the packages: folders whole, and files.
FOLDERS = ("benchmarks", "docs", "notebooks", "recipes", "tests")
FILES = (
    ".github/check_release.py",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "mkdocs.yml",
    "pyproject.toml",
)


def files(home: Path, folders: tuple[str, ...]) -> set[str]:
    """Return the files of some folders, relative to their home, without compiled ones."""
    return {
        path.relative_to(home).as_posix()
        for folder in folders
        for path in (home / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def expected() -> set[str]:
    """Return the files of the packages in this checkout, as a wheel names them."""
    return files(ROOT / "src", PACKAGES)


def check_wheel(wheel: Path, tag: str | None) -> list[str]:
    """Return what is wrong with a wheel, one line each."""
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (home,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        about = message_from_bytes(file.read(f"{home}/METADATA"))
        entries = file.read(f"{home}/entry_points.txt").decode()
    held = {name for name in names if not name.startswith(home)}
    wrong = [f"missing: {name}" for name in sorted(expected() - held)]
    wrong += [f"should not be there: {name}" for name in sorted(held - expected())]
    if tag is not None and tag != f"v{about['Version']}":
        wrong.append(f"the tag is {tag}, the version {about['Version']} (version.py)")
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        wrong.append("no LICENSE")
    if "acn = autocompress.cli:main" not in entries:
        wrong.append("no command acn")
    if not about.get_payload():
        wrong.append("no README on the package's page")
    return wrong


def check_sdist(sdist: Path) -> list[str]:
    """Return what is wrong with an sdist, one line each."""
    with tarfile.open(sdist) as file:
        names = {m.name.partition("/")[2] for m in file.getmembers() if m.isfile()}
    wanted = {f"src/{name}" for name in expected()} | files(ROOT, FOLDERS) | set(FILES)
    made = {name for name in names if name.split("/")[1:2] == ["autocompress.egg-info"]}
    others = names - wanted - made - {"PKG-INFO", "setup.cfg"}
    wrong = [f"missing from the sdist: {name}" for name in sorted(wanted - names)]
    return wrong + [f"not for the sdist: {name}" for name in sorted(others)]


def main() -> int:
    """Check the files in a folder and print what is wrong with them."""
    folder, tag = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    wheels, sdists = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    wrong = [] if len(wheels) == len(sdists) == 1 else ["one wheel and one sdist are expected"]
    for wheel in wheels:
        wrong += check_wheel(wheel, tag)
    for sdist in sdists:
        wrong += check_sdist(sdist)
    print("\n".join(wrong) or "wheel and sdist are complete")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
