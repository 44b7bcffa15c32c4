"""A run folder that somebody else wrote: verbs that read it download nothing that it names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.data import DataConfig
from autocompress.pipeline import RunConfig, to_yaml


def run_of(folder: Path, data: DataConfig) -> Path:
    net = ac.models.MLP(depth=2, width=4, classes=2, image_size=4, channels=1)
    ac.save(net, folder / "run" / "model")
    (folder / "run" / "config.yaml").write_text(to_yaml(RunConfig(data=data)))
    return folder / "run"


@pytest.mark.parametrize("name", ["somebody/pictures", "somebody/pictures:v2"])
@pytest.mark.parametrize("verb", ["probe", "exit"])
@pytest.mark.parametrize("place", [".", "model"])
def test_a_set_of_the_hub_is_not_downloaded(
    place: str,
    verb: str,
    name: str,
    tmp_path: Path,
    no_network: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = run_of(tmp_path, DataConfig(name=name))
    assert main([verb, str(run / place)]) == 2
    said = capsys.readouterr().err
    assert f"config.yaml names the data set '{name}' of the hub" in said
    assert f"--data.name {name}" in said
    assert no_network == []


def test_what_the_command_line_names_may_be_asked_for(
    tmp_path: Path, no_network: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # it is tried again, later and later
    run = run_of(tmp_path, DataConfig(name="digits"))
    assert main(["probe", str(run), "--data.name", "somebody/pictures"]) == 2
    assert no_network


def test_a_set_that_was_downloaded_is_read(
    tmp_path: Path,
    no_network: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As one's own run is probed: its data are in the cache since it was trained."""
    import datasets

    pixels = np.random.default_rng(0).integers(0, 255, (40, 4, 4), dtype=np.uint8)
    rows = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(one) for one in pixels], "label": [0, 1] * 20},
        datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"])),
    )
    rows.to_parquet(tmp_path / "train.parquet")
    datasets.load_dataset(
        "parquet", data_files={"train": str(tmp_path / "train.parquet")}, cache_dir=str(tmp_path)
    )
    (made,) = (tmp_path / "parquet").glob("*/*/*/")
    cache = tmp_path / "cache"
    there = cache / "somebody___pictures" / "default" / "0.0.0" / ("0" * 40)
    shutil.copytree(made, there)
    (there / "parquet-train.arrow").rename(there / "pictures-train.arrow")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    no_network.clear()  # what was made here is counted by datasets
    run = run_of(tmp_path, DataConfig(name="somebody/pictures"))
    assert main(["probe", str(run), "--json"]) == 0, capsys.readouterr().err
    assert '"depth"' in capsys.readouterr().out
    assert main(["probe", str(run), "--data.name", str(tmp_path / "train.parquet")]) == 0
    assert no_network == []
