"""Formats of a user's own: registered, exported to by every way, checked like ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.errors import ConfigError, ExportError
from autocompress.io import register_exporter
from autocompress.io.exporters import EXPORTERS
from models_table import images, make

#: What the file says is added to the logits; the right writer writes 0.
ADDED = {"tape": 0.0, "wrong": 1e-3}


def write_tape(program: torch.export.ExportedProgram, example: Any, path: Path) -> Any:
    path.write_text(str(ADDED[path.suffix[1:]]))
    run = program.module()
    return lambda x: run(x) + float(path.read_text())


@pytest.fixture(autouse=True)
def tape() -> Iterator[None]:
    for name in ADDED:
        register_exporter(name)(write_tape)
    yield
    for name in ADDED:
        EXPORTERS.remove(name)


def test_a_format_of_ones_own_by_function_and_command(tmp_path: Path) -> None:
    net = make("mlp", "acn").eval()
    done = ac.export(net, tmp_path / "net.tape", images())
    assert (done.batch_sizes, done.max_abs_difference < 1e-5) == ((1, 5), True)
    ac.save(net, tmp_path / "net")
    assert main(["export", str(tmp_path / "net"), "--output", str(tmp_path / "b.tape")]) == 0
    assert (tmp_path / "b.tape").read_text() == "0.0"


def test_its_numbers_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="differ"):
        ac.export(make("mlp", "acn"), tmp_path / "net.wrong", images())
    assert list(tmp_path.iterdir()) == []


def test_what_it_is_not_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = make("mlp", "acn")
    with pytest.raises(ConfigError, match="raw is for the formats onnx and pt2"):
        ac.export(net, tmp_path / "net.tape", images(), raw=True)
    for export in (ac.export, ac.io.export_file):
        with pytest.raises(ConfigError, match=r"ends in \.onnx or \.pt2 or \.tape or \.wrong"):
            export(net, tmp_path / "net.tap", images())
    with pytest.raises(ConfigError, match="'onnx' is registered already"):
        register_exporter("onnx")(write_tape)
    assert list(tmp_path.iterdir()) == []
