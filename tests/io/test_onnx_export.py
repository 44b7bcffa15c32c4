"""Exported files compute what the network computes, or do not exist."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import (
    ConfigError,
    ExportError,
    MissingExtraError,
    OutputError,
    ShapeError,
)
from marks import slow_but
from models_table import images, make


def run_onnx(path: Path, x: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (entry,), (result,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, result.name) == ("images", "logits")
    assert isinstance(entry.shape[0], str)
    return torch.from_numpy(session.run(["logits"], {"images": x.numpy()})[0])


@pytest.mark.parametrize(
    ("model", "connectivity"),
    slow_but(
        [("mlp", "acn"), ("mixer-authors", "hacn"), ("vit", "acn-inner")], [("vit", "acn-inner")]
    ),
)
def test_onnx_at_any_batch_size(
    model: str, connectivity: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    net = make(model, connectivity).train().cut(3)
    check = ac.export(net, tmp_path / "net.onnx", images(1))
    assert check.path == tmp_path / "net.onnx"
    assert check.max_abs_difference < 1e-5
    assert check.batch_sizes == (1, 5)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]  # one file, no external data
    assert net.training
    net.eval()
    for size in (1, 2, 7):
        x = images(size)
        torch.testing.assert_close(run_onnx(check.path, x), net(x), atol=1e-5, rtol=0)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_pt2_at_any_batch_size(tmp_path: Path) -> None:
    net = make("mixer", "learned")
    check = ac.export(net, tmp_path / "net.pt2", images(4))
    assert check.max_abs_difference < 1e-5
    program = torch.export.load(tmp_path / "net.pt2").module()
    for size in (1, 2, 7):
        torch.testing.assert_close(program(images(size)), net(images(size)), atol=1e-5, rtol=0)


class OtherWhenTraced(nn.Linear):
    """Computes something else when it is exported."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (0.01 if torch.compiler.is_exporting() else 0.0)


class Frozen(nn.Linear):
    """Works at one batch size only."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.shape[0] == 2 else super().forward(x) * 2


class Untraceable(nn.Linear):
    """Decides by the values of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else x


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    ("layer", "words"),
    [(OtherWhenTraced, "differ by 0.01"), (Frozen, "cannot be exported"), (Untraceable, "cannot")],
)
def test_a_mismatch_is_an_error_and_leaves_no_file(
    layer: type[nn.Linear], words: str, suffix: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=words):
        ac.export(layer(3, 3), tmp_path / "runs" / f"net{suffix}", torch.zeros(1, 3))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    ac.export(nn.Linear(3, 3), path, torch.zeros(1, 3))
    before = path.read_bytes()
    with pytest.raises(OutputError, match="overwrite=True"):
        ac.export(OtherWhenTraced(3, 3), path, torch.zeros(1, 3))
    with pytest.raises(ExportError, match=r"tolerance is 0\.0001"):
        ac.export(OtherWhenTraced(3, 3), path, torch.zeros(1, 3), overwrite=True)
    assert path.read_bytes() == before
    check = ac.export(OtherWhenTraced(3, 3), path, torch.zeros(1, 3), tolerance=0.1, overwrite=True)
    assert check.max_abs_difference == pytest.approx(0.01, rel=1e-3)
    assert path.read_bytes() != before


def test_whole_numbers_are_drawn_from_the_example(tmp_path: Path) -> None:
    tokens = torch.tensor([[3, 1, 4]])  # 5 would be out of range
    net = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2))
    assert ac.export(net, tmp_path / "net.pt2", tokens).max_abs_difference < 1e-5


def test_bad_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = make("mlp", "acn")
    for name in ("net.pt", "net.ONNX.txt"):
        with pytest.raises(ConfigError, match=r"\.onnx or \.pt2"):
            ac.export(net, tmp_path / name, images())
    with pytest.raises(ShapeError, match="takes"):
        ac.export(net, tmp_path / "net.pt2", torch.zeros(1, 3, 4, 4))
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["autocompress.io.exporting"], "_LARGEST_ONNX", 10)
        with pytest.raises(ExportError, match=r"export to \.pt2"):
            ac.export(net, tmp_path / "net.onnx", images())
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"'onnxscript'.*autocompress\[onnx\]"):
        ac.export(net, tmp_path / "net.onnx", images())
    assert list(tmp_path.iterdir()) == []


def test_the_callers_warnings_and_logs_are_left_alone(tmp_path: Path) -> None:
    filters, level = list(warnings.filters), logging.getLogger("torch.onnx").level
    ac.export(make("mlp", "acn"), tmp_path / "net.pt2", images())
    assert list(warnings.filters) == filters
    assert logging.getLogger("torch.onnx").level == level


def test_importing_the_library_imports_no_exporter() -> None:
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\nimport autocompress\n"
        "print([m for m in ('onnx', 'onnxscript', 'onnxruntime') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=100
    )
    assert out.stdout.strip() == "[]"
