"""What tables of rows of training say: FLOPs of runs that grow and are cut, and fair rivals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autocompress.training import CutConfig, DistilConfig, FitConfig, GrowConfig
from autocompress_studies.results import Results
from autocompress_studies.studies.compression_rows import Key, Row, Settings, forward_flops
from autocompress_studies.studies.compression_tasks import TASKS, longer
from autocompress_studies.studies.one_schedule import by_length, rival

#: FLOPs of the first k of four layers, k from 0; the head alone costs 1.
COSTS = [1, 11, 21, 31, 41]


def test_flops_of_runs_that_grow_teach_and_are_cut_by_hand() -> None:
    fit = FitConfig(epochs=4)
    whole: list[dict[str, Any]] = [{}, {}, {}, {}]
    assert forward_flops(fit, COSTS, 4, whole) == [41] * 4
    grown = replace(fit, grow=GrowConfig(layers=1, until=0.5, together=True))
    assert forward_flops(grown, COSTS, 4, whole) == [11, 11, 41, 41]
    taught = replace(fit, distil=DistilConfig(start=0.5))  # every depth: three heads more
    assert forward_flops(taught, COSTS, 4, whole) == [41, 41, 44, 44]
    cut = replace(fit, cut=CutConfig(at=(0.5,), layers=(2,)))
    assert forward_flops(cut, COSTS, 4, [{}, {"kept": 2}, {}, {}]) == [41, 41, 21, 21]


def _run(validation: float, test: float) -> dict[str, Any]:
    return {"validation": [0.0, validation], "test": [0.0, test]}


@pytest.fixture
def settings() -> Settings:
    seeds, first = {"text": 2, "long": 2}, {"text": 2}
    most = {**seeds, "longest": 2}
    rows = {
        "residual": Row(most),
        "tried once": Row(first),
        "4 layers": Row(most, depth=0.5, epochs=2.0),
        "4 layers, faster": Row(seeds, depth=0.5, epochs=2.0, fit={"lr": 1.0}),
        "half": Row(seeds, epochs=0.5),
        "from half: cut": Row(seeds, depth=0.5, epochs=0.9, start="half"),
    }
    text = TASKS["text"]
    lengths = {"long": 48, "longest": 96}
    longs = {name: longer(text, epochs, name) for name, epochs in lengths.items()}
    return Settings(tasks={"text": text, **longs}, rows=rows)


@pytest.fixture
def results() -> Results[Key]:
    scores = {
        ("text", "residual"): [(0.50, 0.52), (0.50, 0.50)],
        ("text", "tried once"): [(0.99, 0.99), (0.99, 0.99)],
        ("text", "4 layers"): [(0.53, 0.50), (0.55, 0.54)],
        ("text", "4 layers, faster"): [(0.52, 0.60), (0.54, 0.60)],  # better on test data only
        ("text", "half"): [(0.40, 0.40), (0.40, 0.40)],
        ("text", "from half: cut"): [(0.51, 0.51), (0.51, 0.56)],
    }
    scores |= {("long", row): runs for (_, row), runs in scores.items() if row != "tried once"}
    scores["long", "4 layers, faster"] = [(0.60, 0.55), (0.60, 0.55)]
    scores["longest", "residual"] = [(0.60, 0.60), (0.60, 0.61)]
    scores["longest", "4 layers"] = [(0.60, 0.60), (0.60, 0.60)]
    found = {
        (Key(*key), seed): _run(*runs[seed]) for key, runs in scores.items() for seed in (0, 1)
    }
    return Results([0, 1], found)


def test_the_rival_is_the_shallow_network_that_validation_data_prefer(
    settings: Settings, results: Results[Key]
) -> None:
    assert rival(settings, results, "text").row == "4 layers"
    assert rival(settings, results, "long").row == "4 layers, faster"


def test_points_above_the_rival_by_hand(settings: Settings, results: Results[Key]) -> None:
    assert by_length(settings, results).splitlines() == [
        "| network | text | long | longest |",
        "|---|---|---|---|",
        "| best shallow network from scratch | 52.0 (4 layers) | 55.0 (4 layers, faster) "
        "| 60.0 (4 layers) |",
        "| residual | 51.0 (-1.0) | 51.0 (-4.0) | 60.5 (+0.5) |",
        "| from half: cut | 53.5 (+1.5) | 53.5 (-1.5) | not run |",
    ]
