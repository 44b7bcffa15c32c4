"""Networks of other precisions than float32, asked and scored by file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import autocompress as ac
from autocompress.cli import main


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_an_image_network_is_asked_by_file_and_probed(
    dtype: torch.dtype, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    net = ac.models.MLP(depth=2, width=8, image_size=8, channels=1)
    net.preprocess = ac.load_data("digits").preprocess
    picture = tmp_path / "a.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(picture)
    found = []
    for name in ("whole", "other"):
        model = str(tmp_path / name)
        ac.save(net if name == "whole" else net.to(dtype), model)
        capsys.readouterr()
        assert main(["predict", model, str(picture), "--json"]) == 0
        best = json.loads(capsys.readouterr().out)["probability"]
        assert main(["probe", model, "--data.name", "digits", "--json"]) == 0
        found.append([best, json.loads(capsys.readouterr().out)[-1]["score"]])
    assert found[1] == pytest.approx(found[0], abs=0.03)
