"""The verbs on a saved network of the user's own class: --import, and never unasked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.errors import CheckpointError, ConfigError

CODE = """
import torch
from torch import nn
from pathlib import Path
Path("imported.txt").touch()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(16, 8)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True)
            for _ in range(3)
        )
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        h = self.stem(x.flatten(1))[:, None]
        for layer in self.layers:
            h = layer(h)
        return self.head(h[:, 0])

class Sized(Net):
    def __init__(self, size):
        super().__init__()

def broken():
    raise RuntimeError("no such file")

def number():
    return 3

def leaves():
    raise SystemExit(0)

class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.body = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x):
        return x + torch.tanh(self.body(self.norm(x)))

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(16, 8), nn.Linear(8, 2)
        self.layers = nn.ModuleList(Layer() for _ in range(3))

    def forward(self, x):
        h = self.stem(x.flatten(1))
        for layer in self.layers:
            h = layer(h)
        return self.head(h)

class Other(Plain):
    pass

def branch(layer, x, skip):
    import autocompress as ac
    return ac.add_skip(torch.tanh(layer.body(layer.norm(x))), x, skip)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a user: mynets.py, and a network of its class in saved/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mynets.py").write_text(CODE)
    sys.path.append(str(tmp_path))
    import mynets  # type: ignore[import-not-found]

    torch.manual_seed(0)
    net = ac.convert(mynets.Net(), example=torch.randn(2, 1, 4, 4))
    net.class_names = ["odd", "even"]
    net.preprocess = ac.data.ImageInput(size=(4, 4), channels=1).to_json()
    ac.save(net, tmp_path / "saved")
    Image.new("L", (4, 4), 90).save(tmp_path / "a.png")
    forget()
    sys.path.remove(str(tmp_path))
    (tmp_path / "imported.txt").unlink()
    yield tmp_path
    forget()


def forget() -> None:
    sys.modules.pop("mynets", None)


OWN = ["--import", "mynets:Net"]


def test_every_verb_takes_the_class(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    assert main(["measure", "saved", "--json", "--batch_sizes", "1", *OWN]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] > 0
    assert main(["cut", "saved", "--depth", "2", "--output", "small", *OWN]) == 0
    assert main(["predict", "small", "a.png", "--json", *OWN]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["label"] in ("odd", "even")
    import mynets

    loaded = ac.load("small", model=mynets.Net())
    assert loaded.predict("a.png").label == said["label"]
    assert loaded.example(3).shape == (3, 1, 4, 4)
    assert main(["export", "small", "--output", "small.onnx", *OWN]) == 0
    digits = ["--data.name", "digits", "--data.image_size", "4", "--data.classes", "0,1"]
    digits += ["--data.train_limit", "20"]
    assert main(["probe", "saved", "--json", *digits, *OWN]) == 0
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])) == 4


def test_nothing_is_imported_unasked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads((home / "saved" / "config.json").read_text())["own_class"] == "mynets:Net"
    sys.path.append(str(home))
    for verb in (["measure"], ["cut", "--depth", "1", "--output", "x"], ["predict", "a.png"]):
        assert main([verb[0], "saved", *verb[1:]]) == 2
        assert "--import mynets:Net" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="--import mynets:Net"):
        ac.load("saved")
    assert "mynets" not in sys.modules
    assert not (home / "imported.txt").exists()


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("mynets:Nat", "no class 'Nat'; did you mean 'Net'"),
        ("nonets:Net", "nonets cannot be imported: ModuleNotFoundError"),
        ("mynets:Sized", "missing 1 required positional argument.*without arguments"),
        ("mynets:broken", "RuntimeError: no such file"),
        ("mynets:number", "makes a int"),
        ("mynets:leaves", "SystemExit: 0"),
        ("mynets:__name__", "a str named '__name__', not a class or a function"),
        ("mynets.py:Net", "did you mean mynets:Net"),
        ("nets/mine.py", "did you mean nets.mine:CLASS"),
        ("mynets.Net", "did you mean mynets:Net"),
        ("ends:Net", "ends cannot be imported: SystemExit: 3"),
        ("mynets:Plain", "does not fit the given Plain|another model"),
        ("../mynets.py:Net", "expected package.module:Class"),
        ("mynets", "--import mynets:Net"),
    ],
)
def test_what_cannot_be_imported(
    home: Path, own: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    (home / "ends.py").write_text("raise SystemExit(3)")
    assert main(["measure", "saved", "--import", own]) == 2
    *notes, error = capsys.readouterr().err.splitlines()
    assert re.search(words, error), error
    assert all(note.startswith("acn: note: ") for note in notes)


def test_layers_that_were_split_by_their_graphs(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.path.append(str(home))
    import mynets

    torch.manual_seed(0)
    x = torch.randn(2, 1, 4, 4)
    net = ac.convert(mynets.Plain(), example=x).eval()
    ac.save(net, "graph")
    plain = ["--import", "mynets:Plain"]
    assert main(["cut", "graph", "--depth", "2", "--output", "two", *plain]) == 0
    assert main(["export", "two", "--output", "shipped", "--json", *plain]) == 0
    assert main(["measure", "graph", "--json", "--batch_sizes", "1", *plain]) == 0
    assert "note" not in capsys.readouterr().err
    assert (home / "shipped" / "segment-2.onnx").is_file()
    small = ac.load("two", model=mynets.Plain())
    assert torch.equal(small(x), ac.cut(net, 2)(x))
    assert main(["measure", "graph", "--json", "--import", "mynets:Other"]) == 0
    assert "saved as a mynets:Plain" in capsys.readouterr().err
    by_hand = ac.convert(mynets.Plain(), blocks="layers", branches=mynets.branch, example=x)
    ac.save(by_hand, "hand")
    assert main(["measure", "hand", *plain]) == 2
    assert "branches=: only your code can repeat that" in capsys.readouterr().err
    assert torch.equal(ac.load("hand", model=by_hand)(x), by_hand.eval()(x))


def test_a_class_of_a_script_is_named_without_its_module(home: Path) -> None:
    from autocompress.conversion.own import refuse_own

    with pytest.raises(ConfigError, match="--import MODULE:Net$"):
        refuse_own("__main__:Net")


def test_a_module_that_registers_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "myrule.py").write_text(
        "import autocompress as ac\nfrom autocompress.connectivity import Plane\n\n"
        "@ac.register_connectivity('weak')\n"
        "def weak(depth: int, *, long: float = 0.25) -> Plane:\n"
        "    return Plane(depth, short=0.5, long=long)\n"
    )
    ac.save(ac.models.MLP(depth=2, width=8), "net")
    assert main(["measure", "net", "--import", "myrule", "--batch_sizes", "1"]) == 0
    assert ac.models.MLP(depth=1, width=4, connectivity="weak").depth == 1
    from autocompress.connectivity import find_connectivity

    assert find_connectivity("weak") is not None


def test_inputs_are_recorded_by_their_shape(tmp_path: Path) -> None:
    from autocompress.conversion.own import example_like, shapes_of

    batch = {
        "ids": torch.tensor([[1, 4]]),
        "mask": torch.tensor([[True, False]]),
        "x": torch.zeros(1, 3, dtype=torch.float64),
    }
    again = example_like(json.loads(json.dumps(shapes_of(batch))))
    assert {k: (v.dtype, v.shape[1:]) for k, v in again.items()} == {
        k: (v.dtype, v.shape[1:]) for k, v in batch.items()
    }
    assert int(again["ids"].max()) < 5
    assert shapes_of(["text"]) is None
    bad: Any
    for bad in ([{"name": None, "shape": [10**9], "dtype": "float32"}], [3], [{"shape": [1]}], 3):
        with pytest.raises(ConfigError, match="takes"):
            example_like(bad)
