"""The documentation site: its pages, the API reference, the interactive figure, the build."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import autocompress as ac

ROOT = Path(__file__).parents[1]
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


def hooks() -> Any:
    """The hooks of the site, with which it is built."""
    pytest.importorskip("mkdocs", reason="the site needs the extra docs")
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public() -> dict[str, Any]:
    """What users may name: ``ac.NAME``, and ``ac.PACKAGE.NAME`` of the packages among these."""
    found: dict[str, Any] = {}
    for name in ac.__all__:
        thing = getattr(ac, name)
        found[name] = thing
        if isinstance(thing, ModuleType):
            found |= {f"{name}.{x}": getattr(thing, x) for x in getattr(thing, "__all__", ())}
    return {k: v for k, v in found.items() if k != "__version__"}


def ours(thing: Any) -> bool:
    return callable(thing) and getattr(thing, "__module__", "").startswith("autocompress")


def undocumented(names: dict[str, Any]) -> list[str]:
    """The names without a docstring of their own, and methods that have none at all."""
    missing = []
    for name, thing in names.items():
        if isinstance(thing, ModuleType) or inspect.isclass(thing):
            found = vars(thing).get("__doc__")  # getdoc would take that of the base
        else:
            found = inspect.getdoc(thing) if ours(thing) else "of another library, or a type"
        if not found:
            missing.append(name)
        for part, value in vars(thing).items() if inspect.isclass(thing) and ours(thing) else ():
            value = getattr(value, "__func__", value)  # of a class method
            plain = inspect.isfunction(value) or isinstance(value, property)
            if plain and not part.startswith("_") and not inspect.getdoc(getattr(thing, part)):
                missing.append(f"{name}.{part}")
    return missing


def test_every_public_name_and_method_has_a_docstring() -> None:
    assert not undocumented(public())


def test_no_docstring_holds_a_link_by_accident() -> None:
    """Markdown reads ``[words][words]`` as a link; to words that no page has, the build fails."""
    link = re.compile(r"\][ ]?\[[^\]\d]")
    for name, thing in public().items():
        members = vars(thing).items() if inspect.isclass(thing) and ours(thing) else ()
        for part, each in [("", thing), *((p, v) for p, v in members if not p.startswith("_"))]:
            text = (inspect.getdoc(each) or "") if callable(each) else ""
            prose = re.split(r"\n\s*Examples?(?::|, )", text)[0]
            found = link.search(re.sub(r"``.*?``", "", prose, flags=re.S))
            assert found is None, f"{name}.{part}: {found and prose[found.start() - 20 :][:60]}"


def test_a_name_without_a_docstring_is_noticed() -> None:
    class Bare(ac.Hook):
        def mine(self) -> None: ...

    Bare.__module__ = "autocompress.bare"
    assert undocumented({"Bare": Bare}) == ["Bare", "Bare.mine"]


def test_the_reference_has_every_public_name_and_what_the_pages_use() -> None:
    site = hooks()
    page, listed = site.api_page(), site.entries()
    short = {name for names in listed.values() for name in names}
    names = {k: v for k, v in public().items() if not k.startswith("errors")}  # listed as a whole
    wanted = {name.rpartition(".")[2] for name, thing in names.items() if ours(thing)}
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        code = "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S))
        wanted |= set(re.findall(r"\bac(?:\.[a-z_]+)*\.([A-Z]\w+)", code))
    assert len(wanted) > 70
    assert wanted - short == set()
    for package, names in listed.items():
        for name in names:
            assert hasattr(importlib.import_module(package), name), f"{package}.{name}"
            assert f"\n::: {package}.{name}\n" in page


def test_the_navigation_leads_to_files() -> None:
    made = {"overview.md", "api.md"}
    for name in re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M):
        assert name in made or (ROOT / "docs" / name).exists() or (ROOT / name).exists(), name


@pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs playwright")
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}; $CHROMIUM names another")
def test_the_interactive_figure_shows_the_gradients_of_the_library() -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as library:
        browser = library.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_content('<div id="scalar"></div>')
        page.add_script_tag(path=ROOT / "docs" / "javascripts" / "scalar.js")
        for depth, weight in ((8, 0.5), (5, -0.6), (2, 1.2)):
            for name, value in (("depth", depth), ("weight", weight)):
                page.locator(f"#scalar-{name}").evaluate(
                    "(dial, x) => { dial.value = x; dial.dispatchEvent(new Event('input')); }",
                    value,
                )
            for place, kind in enumerate(("ffn", "residual", "acn")):
                net = ac.diagnose.ScalarNet(kind, [weight] * depth)  # type: ignore[arg-type]
                said = page.locator("figure").nth(place).locator("title").all_text_contents()
                assert len(said) == depth
                for layer, text in enumerate(said, 1):
                    shown = re.fullmatch(rf"layer {layer}: full (\S+), direct (\S+)", text)
                    assert shown, text
                    wanted = (net.gradient(layer), net.direct(layer))
                    assert tuple(map(float, shown.groups())) == pytest.approx(wanted, rel=6e-3)
        browser.close()


@pytest.mark.slow  # about ten seconds
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings", "griffe"):
        pytest.importorskip(package, reason="the site needs the extra docs")
    words = ["build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "autocompress.models.Mixer" in (tmp_path / "site" / "api" / "index.html").read_text()
