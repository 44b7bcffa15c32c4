"""What an import and a verb load: nothing that they do not use."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.pipeline import ModelConfig, RunConfig, resolve, to_yaml

SOURCE = Path(ac.__file__).parent


def modules_after(code: str) -> set[str]:
    """Full names of the modules in a fresh process after ``code``."""
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_import_takes_nothing_with_it() -> None:
    loaded = modules_after("import autocompress")
    ours = {name for name in loaded if name.startswith("autocompress.")}
    assert "torch" not in loaded
    assert ours <= {
        f"autocompress.{n}" for n in ("interrupts", "errors", "clients", "lazy", "version")
    }


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        [],
        ["nonsense"],
        *([verb, "--help"] for verb in ("probe", "compress")),
    ],
)
def test_the_command_answers_without_torch(words: list[str]) -> None:
    loaded = modules_after(f"from autocompress.cli import main; main({words})")
    assert not loaded & {"torch", "docstring_parser", "numpy"}


def test_runs_are_listed_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their settings are read as data; a data set in the working directory is named from there."""
    data = ac.DataConfig(name=str(tmp_path / "photos"))
    run = resolve(RunConfig(data=data, model=ModelConfig(name="mixer", depth=3)))
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "config.yaml").write_text(to_yaml(run))
    monkeypatch.chdir(tmp_path)
    words = ["runs", "--where", "depth < 4", "--json"]
    code = f"from autocompress.cli import main; assert main({words}) == 0"
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    answer, loaded = done.stdout.splitlines()
    (row,) = json.loads(answer)
    assert (row["data"], row["connectivity"]) == ("photos", "residual, taught")
    assert row["state"] == "not begun"
    assert not set(loaded.split()) & {"torch", "numpy", "datasets", "PIL"}


def test_cutting_loads_what_it_uses(tmp_path: Path) -> None:
    """No data, training, measuring, conversion or report: 51 of about 200 modules of ours."""
    ac.save(ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1), tmp_path / "net")
    words = ["cut", str(tmp_path / "net"), "--depth", "1", "--output", str(tmp_path / "small")]
    loaded = modules_after(f"from autocompress.cli import main; assert main({words}) == 0")
    ours = {name for name in loaded if name.startswith("autocompress.")}
    rooms = {name.split(".")[1] for name in ours}
    unused = {"conversion", "continual", "data", "diagnose", "measurement", "report", "statistics"}
    assert not rooms & unused
    assert not loaded & {"accelerate", "datasets", "matplotlib", "rich", "scipy", "sklearn", "PIL"}
    assert len(ours) <= 60


ROOMS = sorted(
    path.parent.name
    for path in SOURCE.glob("*/__init__.py")
    if "attach_imports" in path.read_text()
)


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_has_the_names_it_lists(room: str) -> None:
    package = importlib.import_module(f"autocompress.{room}")
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match=f"autocompress.{room}' has no attribute 'nothing'"):
        _ = package.nothing


def test_every_public_name_is_there_and_typed_as_it_is() -> None:
    """The names that type checkers see, those that are imported on use, and ``__all__``."""
    (block,) = [
        node
        for node in ast.parse((SOURCE / "__init__.py").read_text()).body
        if isinstance(node, ast.If)
    ]
    typed = {
        alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed | {"__version__"} == set(ac.__all__)
    for name in ac.__all__:
        assert getattr(ac, name) is not None
    assert set(ac.__all__) <= set(dir(ac))
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        ac.fitt  # noqa: B018


def test_star_import() -> None:
    names: dict[str, object] = {}
    exec("from autocompress import *", names)
    assert names["fit"] is ac.fit


def test_time_against_torch() -> None:
    """Importing the library takes at most 1.1 times what importing torch does."""

    def seconds(code: str) -> list[float]:
        """What a new process says of its core, which other processes do not stretch."""
        code = f"from time import process_time; {code}"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [float(line) for line in done.stdout.splitlines() if re.fullmatch(r"[\d.]+", line)]

    both = "import torch; print(process_time()); import autocompress; print(process_time())"
    answer = "from autocompress.cli import main; main(['--help']); print(process_time())"
    # of three attempts one is enough: a busy machine only adds to what is measured
    assert any(ours < 1.1 * torchs for torchs, ours in (seconds(both) for _ in range(3)))
    assert any(seconds(answer)[-1] < 0.5 for _ in range(3))
