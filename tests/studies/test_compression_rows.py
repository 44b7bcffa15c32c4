"""What tables of rows of training say: FLOPs of runs that grow and are cut, and fair rivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.training import CutConfig, DistilConfig, FitConfig, GrowConfig, Hook
from autocompress_studies.results import Results
from autocompress_studies.studies.compression_rows import (
    Key,
    Row,
    Sandwich,
    Settings,
    forward_flops,
    table_of,
)
from autocompress_studies.studies.compression_tasks import TASKS, longer
from autocompress_studies.studies.one_schedule import by_length, gained, leads, rival

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
    assert forward_flops(cut, COSTS, 4, [{}, {"kept": 2}, {}, {}], few=2) == [31, 31, 21, 21]


def test_every_second_step_of_a_sandwich_trains_the_first_layers_only() -> None:
    """A layer that did not run in a step has no gradient after it."""

    class Seen(Hook):
        ran: ClassVar[list[int]] = []

        def after_step(self, net: ac.Network) -> None:
            weights = [next(iter(block.parameters())) for block in net.trunk.blocks]
            self.ran.append(sum(weight.grad is not None for weight in weights))

    net = ac.models.MLP(depth=4, width=4, classes=2, image_size=2, channels=1)
    data = TensorDataset(torch.randn(8, 1, 2, 2), torch.arange(8) % 2)
    config = FitConfig(epochs=2, batch_size=2, warmup_epochs=0.0)
    ac.fit(net, data, config=config, hooks=[Sandwich(1), Seen()], progress=False)
    assert Seen.ran == [4, 1] * 4


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
        "| residual | 51.0 (-1.0: +2.0, -4.0) | 51.0 (-4.0: -3.0, -5.0) "
        "| 60.5 (+0.5: +0.0, +1.0) |",
        "| from half: cut | 53.5 (+1.5: +1.0, +2.0) | 53.5 (-1.5: -4.0, +1.0) | not run |",
    ]


def test_leads_seed_by_seed_by_hand(settings: Settings, results: Results[Key]) -> None:
    assert leads("from half: cut", settings, results).splitlines() == [
        "| task | epochs | this network | shallow network | points above it | on validation data |",
        "|---|---|---|---|---|---|",
        "| text | 12 | 53.5 | 52.0 (4 layers) | +1.0, +2.0 | -2.0, -4.0 |",
        "| long | 48 | 53.5 | 55.0 (4 layers, faster) | -4.0, +1.0 | -9.0, -9.0 |",
    ]


def test_rows_with_one_seed_are_compared_on_that_seed(
    settings: Settings, results: Results[Key]
) -> None:
    """The rival is not the one whose first seed was lucky, nor is a row judged by other seeds."""
    rows = dict(settings.rows)
    rows["residual"] = Row({"text": 1})
    rows["4 layers, faster"] = Row({"text": 1}, depth=0.5)
    fewer = replace(settings, tasks={"text": settings.tasks["text"]}, rows=rows)
    dropped = [Key("text", "residual"), Key("text", "4 layers, faster")]
    scores = {at: run for at, run in results.scores.items() if at[0].task == "text"}
    scores = {at: run for at, run in scores.items() if at not in [(key, 1) for key in dropped]}
    scores[Key("text", "4 layers, faster"), 0] = _run(0.535, 0.60)
    found = Results([0, 1], scores)
    assert rival(fewer, found, "text").row == "4 layers, faster"
    scores[Key("text", "4 layers, faster"), 0] = _run(0.525, 0.60)
    assert rival(fewer, found, "text").row == "4 layers"
    assert gained(fewer, found, Key("text", "residual")) == pytest.approx([2.0])
    rows["4 layers, slower"] = Row({"text": 2}, depth=0.5)
    scores[Key("text", "4 layers, slower"), 0] = _run(0.528, 0.50)  # behind on its first seed
    scores[Key("text", "4 layers, slower"), 1] = _run(0.560, 0.50)  # and ahead on both
    assert rival(replace(fewer, rows=rows), found, "text").row == "4 layers, slower"


def test_a_table_compares_the_seeds_that_the_control_has_by_hand() -> None:
    rows = {"residual": Row({"text": 1}), "4 layers": Row({"text": 2}, depth=0.5)}
    settings = Settings(tasks={"text": TASKS["text"]}, rows=rows)
    runs = {
        ("residual", 0): (_run(0.5, 0.52), 100),
        ("4 layers", 0): (_run(0.5, 0.50), 90),
        ("4 layers", 1): (_run(0.5, 0.60), 10),
    }
    found = {
        (Key("text", row), seed): {
            **run,
            **{"selected": 1, "layers": 1, "start": None, "flops": flops, "seconds": flops},
            "by_epoch": [run["validation"][-1]],
        }
        for (row, seed), (run, flops) in runs.items()
    }

    def last(found: Mapping[Any, Any]) -> list[str]:
        row = table_of("text", settings, Results([0, 1], found)).splitlines()[-1]
        return [cell.strip() for cell in row.strip("|").split("|")]

    assert last(found)[:3] == ["4 layers", "2", "55.0 ± 7.1"]
    assert last(found)[5:] == ["-2.0", "0.90 x", "0.90 x", "1"]
    del found[Key("text", "residual"), 0]
    assert last(found)[:3] == ["4 layers", "2", "55.0 ± 7.1"]
    assert last(found)[5:] == ["-", "-", "-", "-"]
