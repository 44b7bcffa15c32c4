"""Files of strangers: nothing in them runs, and none of them takes long or much memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.cli import main
from autocompress.commands.table import VERBS
from autocompress.errors import ConfigError
from autocompress.pipeline import RunConfig, read_config, to_yaml
from autocompress.pipeline.safe_yaml import MAX_BYTES, MAX_DEPTH
from strangers import code

ROOT = Path(__file__).parents[2]


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when something of a stranger's file runs or is imported."""
    path = tmp_path / "marker"
    module = tmp_path / "modules" / "marker_module.py"
    module.parent.mkdir()
    module.write_text(f"from pathlib import Path\nPath({str(path)!r}).touch()\nclass Maker: pass\n")
    monkeypatch.syspath_prepend(str(module.parent))
    return path


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a network; its config.yaml is what the tests change."""
    folder = tmp_path_factory.mktemp("stranger") / "run"
    net = ac.models.MLP(depth=1, width=4, classes=10, image_size=8, channels=1)
    folder.mkdir()
    ac.save(net, folder / "model")
    (folder / "config.yaml").write_text(to_yaml(RunConfig()))
    return folder


@pytest.mark.parametrize("verb", ["compress", "train", "stream"])
def test_a_recipe_runs_nothing(
    verb: str, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    for value in code(marker):
        for text in (
            json.dumps({"model": {"arguments": {"act_layer": value}}}),
            json.dumps({"model": {"arguments": {"deep": [[1, {"deeper": value}]]}}}),
            json.dumps({"model": {"arguments": value}}),
            json.dumps({"fit": value}),
            json.dumps({"fit": {"distil": value}}),
            json.dumps({"data": {"name": value}}),
            json.dumps(value),
            f"model:\n  arguments: &a {json.dumps(value)}\nfit: *a\n",
            f"model:\n  arguments:\n    <<: {json.dumps(value)}\n",
        ):
            recipe.write_text(text)
            assert main([verb, "--config", str(recipe), "--output", str(tmp_path / "out")]) == 2
            assert "line" in capsys.readouterr().err
    for text in (
        f"fit: !!python/object/apply:os.system ['touch {marker}']",
        "model: !!python/object:marker_module.Maker {}",
        "fit: {path: !!python/name:marker_module.Maker }",
        "data: marker_module.Maker",
        "fit: {path: marker_module.Maker}",
    ):
        recipe.write_text(text)
        assert main([verb, "--config", str(recipe), "--output", str(tmp_path / "out")]) == 2
        capsys.readouterr()
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


def test_a_refusal_names_the_key(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "model:\n  arguments:\n    norm_layer:\n      class_path: torch.nn.Identity\n"
    )
    said = r"line 4: 'model\.arguments\.norm_layer\.class_path' requests that code be run"
    with pytest.raises(ConfigError, match=said):
        read_config(recipe)
    recipe.write_text("model:\n  arguments:\n    trust_remote_code: true\n")
    with pytest.raises(ConfigError, match="line 3: .*trust_remote_code"):
        read_config(recipe)


@pytest.mark.parametrize("verb", ["probe", "exit"])  # report: test_cli.py, where a run has one
def test_the_config_of_a_strangers_run_runs_nothing(
    verb: str, stranger: Path, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stranger, run)
    for value in code(marker):
        for place in ({"model": {"arguments": {"x": value}}}, {"data": value}, {"control": value}):
            (run / "config.yaml").write_text(json.dumps(place))
            assert main([verb, str(run)]) == 2
            assert "config.yaml, line 1" in capsys.readouterr().err
    assert not marker.exists()


def test_lists_of_strangers_runs_run_nothing(
    stranger: Path, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stranger, run)
    for value in code(marker):
        (run / "config.yaml").write_text(json.dumps({"model": {"arguments": {"x": value}}}))
        for words in (["runs", str(tmp_path)], ["compare", str(run), str(stranger)]):
            assert main(words) in (0, 2)
            assert "Traceback" not in capsys.readouterr().err
    assert not marker.exists()


@pytest.mark.parametrize("verb", ["plan", "convert"])
def test_arguments_run_nothing(
    verb: str, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--output", str(tmp_path / "out")] if verb == "convert" else []
    source = [verb, "timm:vit_tiny_patch16_224", *out]
    for value in code(marker):
        assert main([*source, "--arguments", json.dumps(value)]) == 2
        assert "requests that code be run" in capsys.readouterr().err
        assert main([*source, "--arguments", json.dumps({"norm_layer": value})]) == 2
        assert main([*source, "--arguments.norm_layer", json.dumps(value)]) == 2
        assert main([*source, "--arguments.class_path", "marker_module.Maker"]) == 2
        capsys.readouterr()
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:.*does not know")
@pytest.mark.parametrize(
    "words",
    [
        "cut --depth 1 --output X",
        "measure --batch_sizes 1",
        "bench --batch_sizes 1 --formats eager --seconds 0.1",
        "serve --port 0",
        "export --output X.onnx",
        "generate --new 1 --ids 1",
        "predict X",
    ],
)
def test_the_network_of_a_stranger_runs_nothing(
    words: str, stranger: Path, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stranger, run)
    said = json.loads((run / "model" / "config.json").read_text())
    verb, *rest = words.replace("X", str(tmp_path / "out")).split()
    for value in code(marker):
        for damaged in ({**said, "connectivity": value}, {**said, "width": value}):
            (run / "model" / "config.json").write_text(json.dumps(damaged))
            assert main([verb, str(run), *rest]) == 2
            assert capsys.readouterr().err.startswith("acn: error: ")
    (run / "model" / "config.json").write_text(json.dumps({**said, **code(marker)[3]}))
    if verb not in ("export", "serve"):  # which would take their time
        assert main([verb, str(run), *rest]) in (0, 2)
    assert not marker.exists()


def test_results_of_a_stranger_run_nothing(
    marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in code(marker):
        assert main(["reproduce", "--data", json.dumps(value), "--out", str(tmp_path / "o")]) == 2
        words = ["reproduce", json.dumps(value), "--out", str(tmp_path / "o")]
        assert main(words) == 2
        capsys.readouterr()
    assert not marker.exists()


def test_values_that_name_code_are_words(tmp_path: Path) -> None:
    """Without such a key, a dotted name is text like any other."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: {arguments: {act_layer: os.system}}")
    assert read_config(recipe).model.arguments == {"act_layer": "os.system"}


def laughs(levels: int, width: int) -> str:
    """Aliases of aliases: a few lines that expand to width ** levels values."""
    lines = ["model:", "  arguments:", f"    a0: &a0 [{', '.join(['x'] * width)}]"]
    for level in range(1, levels):
        many = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"    a{level}: &a{level} [{many}]")
    return "\n".join(lines)


def merges(levels: int) -> str:
    """The same with mappings that are merged into one another."""
    lines = ["model:", "  arguments:", "    a0: &a0 {x: 1}"]
    for level in range(1, levels):
        many = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"    a{level}: &a{level} {{<<: [{many}], k{level}: 1}}")
    return "\n".join(lines)


HUGE = {
    "laughs": laughs(9, 9),
    "laughs, many": laughs(30, 9),
    "merges": merges(12),
    "an alias inside itself": "model: {arguments: {a: &a [*a]}}",
    "a merge inside itself": "model: {arguments: &a {<<: *a}}",
    "lists": "[" * 10_000,
    "closed lists": "model: {arguments: {a: " + "[" * 10_000 + "]" * 10_000 + "}}",
    "mappings": "model: {arguments: " + "{a: " * 10_000 + "1" + "}" * 10_000 + "}",
    "indents": "\n".join(" " * level + "a:" for level in range(300)),
    "dashes": "- " * 10_000,
    "questions": "? " * 10_000,
    "long": "x" * (MAX_BYTES + 1),
    "comments": "# nothing\n" * 100_000,
    "digits": "fit: {epochs: " + "9" * 60_000 + "}",
    "an exponent": "fit: {epochs: 1e999999999}",
    "quotes": "model: {arguments: {a: '" + "'" * 60_000,
}


@pytest.mark.parametrize("kind", HUGE)
def test_what_expands_is_refused_in_time(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(HUGE[kind])
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert main(["train", "--config", str(recipe), "--output", str(tmp_path / "out")]) == 2
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB
    errors = capsys.readouterr().err
    assert "recipe.yaml" in errors
    assert len(errors) < 1000


def test_the_same_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("[" * 10_000, "{a: " * 10_000, "&a [*a]", "{a: &a [*a]}", "{a: !!set {b}}"):
        assert main(["plan", "timm:vit_tiny_patch16_224", "--arguments", text]) == 2
        assert "--arguments" in capsys.readouterr().err


def test_depth_and_aliases_that_are_legal(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    deep = MAX_DEPTH - 4
    recipe.write_text(
        "control: &rate {lr: 0.5, epochs: 9}\nfit:\n  <<: *rate\n  epochs: 3\n"
        "model: {arguments: {a: " + "[" * deep + "]" * deep + "}}"
    )
    config = read_config(recipe)
    assert (config.fit.lr, config.fit.epochs) == (0.5, 3)
    assert config.control is not None
    assert config.control.epochs == 9


def test_a_config_that_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, said in [
        (tmp_path / "pipe", "a pipe"),
        (tmp_path / "folder", "a folder"),
        (Path("/dev/zero"), "a device"),
        (Path("/dev/null"), "a device"),
        (tmp_path / "dangling", "No such file"),
        (tmp_path / "loop", "symbolic links"),
        (tmp_path / ("x" * 300), "too long"),
    ]:
        start = time.process_time()
        words = ["--config", str(path), "--output", str(tmp_path / "out")]
        assert main(["compress", *words]) == 2
        assert said in capsys.readouterr().err
        assert time.process_time() - start < 2


def test_a_config_yaml_of_a_run_that_is_no_file(
    stranger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stranger, run)
    for text in (b"", b"# nothing\n", b"\xff\xfe", b"data: {name: \xe9}", b"\0" * 100):
        (run / "config.yaml").write_bytes(text)
        assert main(["probe", str(run)]) == 2
        assert "config.yaml" in capsys.readouterr().err


def test_bytes_that_are_not_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes("fit:\n  epochs: 3\n# Übung\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="line 3: byte 0xdc is not UTF-8"):
        read_config(recipe)
    recipe.write_bytes("fit: {epochs: 3}".encode("utf-16"))
    with pytest.raises(ConfigError, match="line 1: byte 0xff is not UTF-8"):
        read_config(recipe)
    recipe.write_bytes("# Übung\r\nfit: {epochs: 3}\r\n".encode("utf-8-sig"))
    assert read_config(recipe).fit.epochs == 3


def test_every_verb_that_reads_data_is_tried_here() -> None:
    """A new verb must be tried as well."""
    tried = "compress train stream probe exit report plan convert cut measure export generate"
    tried += " predict runs compare bench serve"
    assert set(VERBS) == {*tried.split(), "reproduce", "prune", "doctor", "completion"}
