"""Hooks of MkDocs: the site also shows pages and results that lie outside docs/.

The Markdown files have links that work in the repository; here they are changed to those of the
site. The API reference is written from the names that ``import autocompress`` offers.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
RESULTS = ROOT / "benchmarks" / "results" / "reproduce"
#: Links of evidence.md to the committed results, as the repository has them.
FOLDER = "../benchmarks/results/reproduce"
#: Names of packages that are not ours to document.
NOT_OURS = ("Spec",)
#: What pages of docs/ use beside the public names.
MORE = (
    "autocompress.data.ImageInput",
    "autocompress.data.register_dataset",
    "autocompress.deploy.Cascade",
    "autocompress.deploy.bench",
    "autocompress.depth.Segments",
    "autocompress.training.register_hook",
)


def public_names() -> dict[str, list[str]]:
    """Return the names of ``autocompress``, by the package that each is imported from."""
    tree = ast.parse((ROOT / "src" / "autocompress" / "__init__.py").read_text())
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    found.setdefault(line.module, []).extend(alias.name for alias in line.names)
    return found


def names_of(package: str) -> list[str]:
    """Return the names that a package of ``autocompress`` offers, which are its ``__all__``."""
    folder = ROOT / "src" / package.replace(".", "/")
    for node in ast.parse((folder / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise LookupError(f"{package} has no __all__")


def entries() -> dict[str, list[str]]:
    """Return the names of the API reference, by the package that each is documented in."""
    found = public_names()
    packages = [name for name in found.pop("autocompress") if name != "errors"]
    for package in (f"autocompress.{name}" for name in packages):
        known = {name for names in found.values() for name in names}
        more = [name for name in names_of(package) if name not in (*known, *NOT_OURS)]
        found.setdefault(package, []).extend(more)
    for name in MORE:
        package, _, short = name.rpartition(".")
        found.setdefault(package, []).append(short)
    return {module: sorted(names) for module, names in sorted(found.items())}


def api_page() -> str:
    """Return the API reference: a heading for each package, an entry for each public name."""
    parts = [
        "# API reference\n\nAfter `import autocompress as ac`, names of the packages "
        "`connectivity`, `continual`, `diagnose` and `models` are `ac.PACKAGE.NAME`, most "
        "others `ac.NAME`.\n"
    ]
    for module, names in entries().items():
        parts.append(f"\n## {module}\n")
        parts += [f"\n::: {module}.{name}\n" for name in names]
    parts.append("\n## autocompress.errors\n\n::: autocompress.errors\n")
    return "".join(parts)


def on_files(files: Files, config: Any) -> Files:
    """Add the generated page, the pages beside docs/, and the results that pages show."""
    files.append(File.generated(config, "api.md", content=api_page()))
    for name in PAGES:
        target = "overview.md" if name == "README.md" else name
        files.append(File.generated(config, target, abs_src_path=str(ROOT / name)))
    for path in (*sorted(RESULTS.glob("*.svg")), *sorted(RESULTS.glob("*.json"))):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page with links that fit the site."""
    if page.file.src_uri in ("overview.md", *PAGES):
        return markdown.replace("](docs/", "](").replace(
            "[CITATION.cff](CITATION.cff)", "CITATION.cff"
        )
    markdown = markdown.replace("](../README.md", "](overview.md")
    markdown = re.sub(r"\]\(\.\./(CONTRIBUTING|SECURITY|CHANGELOG)\.md", r"](\1.md", markdown)
    markdown = markdown.replace(f"[benchmarks/results/reproduce]({FOLDER})", "the repository")
    return markdown.replace(f"]({FOLDER}/", "](results/")
