"""Pages beside the README: examples run, links lead somewhere, quotes are true."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from autocompress_studies.study import find_study
from marks import slow_but

ROOT = Path(__file__).parents[1]
LINKED = ("CONTRIBUTING.md", "SECURITY.md")
#: Pages whose examples run here, and the optional package that they need.
EXAMPLES = {
    "images": "PIL",
    "texts": "tokenizers",
    "pretrained": "timm",
    "use": "onnxscript",
    "deploy": "onnxscript",
    "exits": "torch",
    "theory": "torch",
}
#: Pages whose examples other tests run.
ELSEWHERE = {
    "architecture": "test_readme.py",
    "convert": "test_readme.py",
    "diagnose": "test_readme.py",
    "training": "test_readme.py",
    "generation": "test_generation_page.py",
    "language": "language/test_language_page.py",
    "reproduce": "studies/test_committed.py",
}


def literals(package: Path) -> str:
    """Return all literal text of a package's strings, as it is put together at run time."""
    texts = []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                texts.append("".join(map(str, parts)))
    return "\n".join(texts)


def test_the_faq_quotes_messages_that_are_raised() -> None:
    page = (ROOT / "docs" / "faq.md").read_text()
    quoted = re.findall(r'"([^"]+)"', "\n".join(re.findall(r"^### (.*)$", page, re.M)))
    assert len(quoted) > 30
    known = literals(ROOT / "src" / "autocompress")
    parts = [part.strip() for message in quoted for part in message.split("…")]
    missing = [part for part in parts if part not in known]
    assert not missing, "no message of the library holds these; change docs/faq.md"


def test_the_examples_of_contributing() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S))
    from autocompress.data.generated import GENERATED
    from autocompress.data.registry import DATASETS
    from autocompress.io.exporters import EXPORTERS
    from autocompress.savable import MODELS
    from autocompress.training.hooks import HOOKS

    try:
        exec(compile(code, "CONTRIBUTING.md", "exec", dont_inherit=True), {"__name__": "page"})
    finally:
        added = {"tiny": MODELS, "black": DATASETS, "stripes": GENERATED, "own_penalty": HOOKS}
        for name, registry in {**added, "graph": EXPORTERS}.items():
            if name in registry:  # otherwise the error of the example would be hidden
                registry.remove(name)


@pytest.mark.parametrize("page", slow_but(EXAMPLES, ("images", "texts", "theory")))
def test_the_example_of_a_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(EXAMPLES[page])
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / f"docs/{page}.md").read_text(), re.M | re.S
    )
    assert blocks
    for code in blocks:
        exec(compile(code, f"{page}.md", "exec"), {"__name__": "page"})


def test_the_examples_of_every_page_run_in_some_test() -> None:
    pages = (ROOT / "docs").glob("*.md")
    assert {p.stem for p in pages if "\n```python\n" in p.read_text()} == {*EXAMPLES, *ELSEWHERE}
    for page, test in ELSEWHERE.items():
        assert f'"{page}.md"' in (ROOT / "tests" / test).read_text()


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert re.search(rf"[: -] {re.escape(path.name)}$", site, re.M), path.name


def test_no_page_installs_from_pypi() -> None:
    """The package is not there, and nobody keeps another from taking its name."""
    for path in [ROOT / "README.md", *(ROOT / n for n in LINKED), *(ROOT / "docs").glob("*.md")]:
        assert "pip install 'autocompress" not in path.read_text(), path.name


def test_the_verbs_that_take_a_class_of_ones_own() -> None:
    from autocompress.commands.accepts import options_of_verb
    from autocompress.commands.table import VERBS

    page = " ".join((ROOT / "docs" / "use.md").read_text().split())
    (said,) = re.findall(r"`--import MODULE:CLASS` works with ([^.]*)\.", page)
    takes = {name for name, verb in VERBS.items() if "import" in options_of_verb(verb).names()}
    assert set(re.findall(r"`(\w+)`", said)) == takes


def test_links_of_the_pages_beside_the_readme() -> None:
    for name in LINKED:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name}: {target}"


def test_files_that_pages_name_exist() -> None:
    """Also in commands and running text, which hold no links; NAME and the like match anything."""
    named = re.compile(r"(?<![\w/.-])((?:src|tests|benchmarks|docs|recipes|notebooks)/[\w./*-]*\w)")
    found = 0
    for page in [ROOT / "README.md", *(ROOT / n for n in LINKED), *(ROOT / "docs").glob("*.md")]:
        for name in named.findall(page.read_text()):
            found += 1
            assert list(ROOT.glob(re.sub(r"\b[A-Z]+\b", "*", name))), f"{page.name}: {name}"
    assert found > 60


def test_headings_that_links_name_exist() -> None:
    def anchor(heading: str) -> str:
        return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

    pages = [ROOT / "README.md", *(ROOT / n for n in LINKED), *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target, name in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", page.read_text()):
            text = (page.parent / target).read_text() if target else page.read_text()
            found = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}
            assert name in found, f"{page.name}: {target}#{name}"


def test_the_readme_is_short_and_the_first_page_names_every_other() -> None:
    """A newcomer reads the README within minutes; what it leaves out is found from one page."""
    assert len((ROOT / "README.md").read_text().split()) < 1700
    first = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        inner = page.stem in ("index", "architecture")
        assert inner or f"]({page.name}" in first, page.name


def test_the_readme_counts_the_outcomes_of_the_claims() -> None:
    evidence = (ROOT / "docs" / "evidence.md").read_text()
    rows = re.findall(r"^\| \[([a-z-]+)\].*\| ([a-z: ]+) \|$", evidence, re.M)
    ours = {name for name, _ in rows if "The paper has no task" in find_study(name).paper}
    assert ours == {"ruler", "levels"}
    outcomes = [outcome for name, outcome in rows if name not in ours]
    open_ = [outcome for outcome in outcomes if outcome.startswith("undecided")]
    short = ["none", "one", "two", "three", "four", "five", "six"][
        len(open_) - open_.count("undecided")
    ]
    assert f"{short} of them because" in (ROOT / "docs" / "results.md").read_text()
    count = outcomes.count("does not hold")
    refuted = f"{count} {'does' if count == 1 else 'do'} not hold"
    for page in ("README.md", "docs/results.md", "docs/theory.md"):
        text = " ".join((ROOT / page).read_text().split())
        assert f"{len(open_)} stay undecided" in text
        assert refuted in text
        held = outcomes.count("holds")
        assert f"{held} of {len(outcomes)} hold{'s' if held == 1 else ''}" in text


def test_the_picture_of_the_readme_is_of_a_committed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    drawn = importlib.import_module("readme_picture")

    def texts(svg: str) -> list[str]:
        return re.findall(r"<text[^>]*>([^<]*)</text>", svg)

    assert "kept: 5" in texts(drawn.picture())
    assert texts(drawn.picture()) == texts(drawn.PICTURE.read_text())
