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


def api_page() -> str:
    """Return the API reference: a heading for each package, an entry for each public name."""
    parts = ["# API reference\n\nEverything here is available as `autocompress.NAME`.\n"]
    for module, names in sorted(public_names().items()):
        if module == "autocompress":  # packages whose names are listed with them
            continue
        parts.append(f"\n## {module}\n")
        parts += [f"\n::: {module}.{name}\n" for name in sorted(names)]
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
