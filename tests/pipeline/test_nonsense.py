"""Numbers that mean nothing are refused before anything is trained, measured or written."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.pipeline.scalars import number, whole

RUN = "digits --model.name mlp --model.width 8 --data.train_limit 60 --fit.epochs 1 --quiet"
TABLE = [
    (f"train {RUN} --model.depth 0", "0 layers"),
    (f"compress {RUN} --model.depth 0", "0 layers"),
    (f"train {RUN} --model.depth -1", "0 or more"),
    (f"train {RUN} --fit.epochs 0", "epochs 0"),
    (f"train {RUN} --fit.batch_size -1", "batch_size -1"),
    (f"train {RUN} --fit.lr nan", "not finite"),
    (f"train {RUN} --fit.lr 1e-400", "out of range"),
    (f"train {RUN} --fit.steps_per_epoch 99", "more than the 1 batch that"),
    (f"train {RUN} --data.image_size 1000000000000", "not enough memory"),
    (f"compress {RUN} --select.layers 99", "depth 99"),
    (f"compress {RUN} --select.flops 10", "no depth costs at most 10 FLOPs"),
    (f"compress {RUN} --select.parameters 10", "no depth costs at most 10 parameters"),
    (f"compress {RUN} --select.parameters 0", "above 0"),
    (f"compress {RUN} --select.milliseconds -1", "above 0"),
    (f"compress {RUN} --heal -1", "heal -1"),
    (f"stream {RUN} --stream.tasks 0", "0 tasks"),
    ("probe net --data.name digits --latency_batch 0", "latency_batch 0"),
    ("cut net --depth -1 --output out", "depth -1"),
    ("cut net --depth 1e-400 --output out", "not a whole number"),
    ("prune net --share 2 --output out", "share 2"),
    ("prune net --share 0 --output out", "share 0 would change nothing: 0 %"),
    ("measure net --batch_sizes 0", "at least 1"),
    ("measure net --batch_sizes 1000000000000", "not enough memory"),
    ("predict net p.png --top 0", "top 0"),
    ("predict net p.png --exit_below -1", "exit_below -1"),
    ("bench net --seconds 0", "seconds 0"),
    ("bench net --depths 99", "depth 99"),
    ("exit net --data.name digits --batch_size 0", "batch_size 0"),
    ("exit net --data.name digits --drop 1", "below 1"),
    ("exit net --data.name digits --latency_ms 0", "above 0"),
    ("export net --depths 99 --output out", "depth 99"),
    ("serve net --port 0", "port 0"),
    ("serve net --max_mb -1", "--max_mb -1"),
    ("serve net --wait_ms 1000000000", "at most 60000"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("nonsense")
    net = ac.models.MLP(depth=2, width=8, classes=10, image_size=8, channels=1)
    net.preprocess = ac.data.ImageInput(mean=(0.5,), std=(0.5,), size=(8, 8), channels=1).to_json()
    ac.save(net, where / "net")
    Image.new("L", (8, 8)).save(where / "p.png")
    return where


@pytest.mark.parametrize(("words", "said"), TABLE)
def test_nonsensical_numbers_are_refused(
    words: str,
    said: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if words.startswith("serve"):
        pytest.importorskip("uvicorn")
    monkeypatch.chdir(folder)
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert sorted(path.name for path in folder.iterdir()) == ["net", "p.png"]


@pytest.mark.parametrize("word", ["1e-400", "-0.5e-999"])
def test_numbers_that_would_become_zero(word: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        number(word)
    with pytest.raises(ValueError, match="whole"):
        whole(word)
    assert number("0.0e-400") == 0
    assert whole("0e5") == 0
