"""The page in a real browser: the slider, hover, keyboard, names, a phone, hostile texts."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autocompress as ac
from autocompress.cli import main
from autocompress.report import render_html, validate
from autocompress.report.live import serving
from autocompress.report.states import cut_snippets
from autocompress.report.together import NamedRun, render_together
from marks import slow_but
from report.explored import explored, files

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
HOSTILE = "</script><script>window.hit = 1</script><img src=x onerror=window.hit=2>\"'\u2028&amp;"

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs playwright"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}; $CHROMIUM names another"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as library:
        found = library.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def opened(browser: Any, text: str, **options: Any) -> Any:
    """Open a page; what its console says is in ``page.said``."""
    page = browser.new_page(**options)
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.said.append(asked.url) if "data:" not in asked.url else 0)
    page.set_content(text)
    return page


def written(report: Any, run: str = "runs/one") -> str:
    validate(report)
    return render_html(
        report, {"fit": {"epochs": 3}}, ["acn probe runs/one"], run=run, files=files()
    )


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    return opened(browser, written(explored()), viewport={"width": 1200, "height": 900})


def shown(page: Any, name: str) -> str:
    return str(page.locator(f"[data-show={name}]").first.inner_text())


def go(page: Any, depth: int) -> None:
    dial = page.locator("#depth")
    dial.evaluate("(d, k) => { d.value = k; d.dispatchEvent(new Event('input')); }", depth)


def test_the_page_opens_at_the_kept_depth_without_a_word_on_the_console(page: Any) -> None:
    assert page.locator("#depth").input_value() == "2"
    assert shown(page, "layers") == "2 of 4 layers"
    assert page.locator("h1").inner_text() == (
        "2 of 4 layers score 90.0\u00a0% on test, a tie with all 4."
    )
    assert page.said == []


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
def test_every_number_follows_the_slider(page: Any, depth: int) -> None:
    go(page, depth)
    report = explored()
    point = report["depths"][depth]
    assert shown(page, "score") == f"{100 * point['test']:.1f} %"
    low, high = point["interval"]
    assert shown(page, "interval") == f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
    assert shown(page, "parameters").split()[0] == f"{point['parameters'] / 1000:#.3g}"
    assert shown(page, "latency_256") == f"{point['latency_ms']['256']:.1f} ms"
    before, after = point["latency_spread_ms"]["1"]
    assert re.fullmatch(rf"{before:.2f}0? to {after:.2f}0? ms", shown(page, "spread_1"))
    assert shown(page, "bytes") == f"{point['bytes'] / 1000:#.3g} kB"
    assert f"--depth {depth} " in shown(page, "command")
    assert f"depth={depth})" in shown(page, "python")
    assert page.locator("#depth").get_attribute("aria-valuetext").startswith(f"{depth} of 4 layers")
    for n, score in enumerate(report["classes"]["accuracy"][depth]):
        assert page.locator(f"[data-rate='{n}']").inner_text() == f"{100 * score:.1f} %"
    cells = [text or "0" for text in page.locator("[data-cell]").all_inner_texts()]
    assert list(map(int, cells)) == [
        count for row in report["classes"]["confusion"][depth] for count in row
    ]
    answers = [explored()["examples"][n]["answers"][depth] for n in (0, 1)]
    names = [text.split(" (")[0] for text in page.locator("[data-answer]").all_inner_texts()]
    assert names == [report["classes"]["names"][a] for a in answers]


def test_the_cursor_stands_on_the_curve(page: Any) -> None:
    for depth in (1, 4):
        go(page, depth)
        ring = page.locator(".whole .ring").bounding_box()
        dot = page.locator(".whole circle.dot.network").nth(depth).bounding_box()
        for at, size in (("x", "width"), ("y", "height")):
            middle = ring[at] + ring[size] / 2
            assert middle == pytest.approx(dot[at] + dot[size] / 2, abs=1)


def test_the_keyboard_moves_the_slider_and_the_button_takes_it_back(page: Any) -> None:
    go(page, 2)
    page.locator("#depth").focus()
    page.keyboard.press("ArrowRight")
    assert shown(page, "depth") == "3"
    page.keyboard.press("Home")
    assert shown(page, "layers") == "0 of 4 layers"
    page.locator("#reset").click()
    assert shown(page, "layers") == "2 of 4 layers"
    assert page.locator("#reset").is_disabled()


def test_a_depth_shows_its_values_under_the_pointer_and_is_chosen_by_a_click(page: Any) -> None:
    spot = page.locator(".whole .spot[data-depth='3']")
    spot.hover()
    assert "network: 90.0 % test, 89.0 % validation" in page.locator("#tip").inner_text()
    spot.click()
    assert shown(page, "depth") == "3"
    page.mouse.move(5, 5)
    assert not page.locator("#tip").is_visible()


def test_the_threshold_of_the_exits_moves_their_numbers(page: Any) -> None:
    assert page.locator("[data-exit=exit_threshold]").inner_text() == "0.2 nats"
    page.locator("#threshold").focus()
    page.keyboard.press("End")
    assert page.locator("[data-exit=exit_score]").inner_text() == "93.0 %"
    assert page.locator("[data-exit=exit_depth]").inner_text() == "3.5 of 4 layers"


def test_terms_are_explained_on_focus_and_closed_by_escape(page: Any) -> None:
    term = page.locator(".term", has_text="FLOPs").first
    term.locator("button").focus()
    assert term.get_by_role("tooltip").is_visible()
    page.keyboard.press("Escape")
    assert not term.get_by_role("tooltip").is_visible()


@pytest.mark.parametrize("scheme", slow_but(["light", "dark"], ["light"]))
def test_nothing_overflows_a_phone_and_a_screen_reader_is_served(browser: Any, scheme: Any) -> None:
    pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    from axe_playwright_python.sync_playwright import Axe

    names = ("cat" * 30, "a class with a long name", "owl")
    options = {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme}
    page = opened(browser, written(explored(names)), **options)
    for part in page.locator("summary").all():
        part.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    # What the page may contain is said by its policy, which the checker's own script does not meet.
    assert page.said == []
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


def test_hostile_names_are_only_shown(browser: Any) -> None:
    report = explored((HOSTILE, "dog", "owl"))
    report["task"]["dataset"] = report["rule"] = report["model"]["name"] = HOSTILE
    report["examples"][1]["text"] = HOSTILE
    report["environment"] = {HOSTILE: HOSTILE}
    page = opened(browser, written(report, run=f"runs/{HOSTILE}"))
    go(page, 0)
    assert page.evaluate("window.hit") is None
    assert page.locator("blockquote").text_content() == HOSTILE
    assert page.locator("[data-answer='0']").text_content() == f"{HOSTILE} (40 %)"
    assert page.said == []
    page.close()


def test_the_page_reads_without_its_script(browser: Any) -> None:
    page = opened(browser, written(explored()), java_script_enabled=False)
    assert not page.locator("#depth").is_visible()
    assert shown(page, "score") == "90.0 %"
    page.close()


@pytest.mark.parametrize("run", ["runs/one", "my runs/it's one"])
def test_the_lines_of_python_and_the_command_run_as_printed(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ac.save(ac.models.MLP(depth=3, width=4, classes=3), tmp_path / run / "model")
    command, python = cut_snippets(run, 2)
    assert len(python.splitlines()) == 3
    monkeypatch.chdir(tmp_path)
    exec(python, {})
    assert ac.load(f"{run}/depth-2").depth == 2
    words = shlex.split(command.replace("depth-2", "again"))
    assert words[0] == "acn"
    assert main(words[1:]) == 0
    assert ac.load(f"{run}/again").depth == 2


def test_one_slider_moves_several_runs(browser: Any) -> None:
    one, two = explored(), explored()
    two["depths"][3]["test"] = 0.7
    runs = [NamedRun(name, report, "x") for name, report in ((HOSTILE, one), ("two", two))]  # type: ignore[arg-type]
    text = render_together(runs, [(HOSTILE, [HOSTILE, None])])
    page = opened(browser, text, viewport={"width": 390, "height": 844})
    go(page, 3)
    assert (shown(page, "score_0"), shown(page, "score_1")) == ("90.0 %", "70.0 %")
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    hidden = "[...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
    assert page.evaluate(hidden) == [0, 0, 0]  # no column is out of sight
    assert page.locator("td[data-show=latency_256_0]").is_visible()
    assert page.said == []
    page.close()


@pytest.mark.slow
def test_the_live_page_follows_a_run_and_becomes_its_report(browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    with serving(tmp_path) as address:
        page.goto(address)
        assert page.locator("h1").inner_text() == "Waiting for the first epoch"
        (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "loss": 1.5}\n')
        page.locator("h1", has_text="Network: epoch 1").wait_for(timeout=20_000)
        (tmp_path / "report.html").write_text(written(explored()))
    page.locator("#depth").wait_for(timeout=20_000)
    go(page, 3)
    assert shown(page, "depth") == "3"
    assert said == []
    page.close()
