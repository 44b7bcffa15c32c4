"""What words of YAML and of the command line mean, and how wrong ones are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autocompress.cli import main
from autocompress.commands.accepts import options_of_verb
from autocompress.commands.table import VERBS
from autocompress.errors import ConfigError
from autocompress.pipeline import RunConfig, make_config, read_config, read_words


def from_yaml(text: str, tmp_path: Path) -> RunConfig:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    return read_config(recipe)


def from_words(verb: str, *words: str) -> Any:
    options = options_of_verb(VERBS[verb])
    said = read_words(words, options)
    return make_config(options.own, said.own), said


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("fit: {compile: off}", "fit.compile", "off"),
        ("fit: {compile: 'off'}", "fit.compile", "off"),
        ("fit: {lr: 1e-3}", "fit.lr", 0.001),
        ("fit: {lr: 1E-3}", "fit.lr", 0.001),
        ("fit: {lr: .5}", "fit.lr", 0.5),
        ("fit: {lr: 1}", "fit.lr", 1.0),
        ("fit: {lr: '0.5'}", "fit.lr", 0.5),
        ("fit: {epochs: 1.0}", "fit.epochs", 1),
        ("fit: {epochs: 1e2}", "fit.epochs", 100),
        ("fit: {epochs: 1_000}", "fit.epochs", 1000),
        ("fit: {seed: 0}", "fit.seed", 0),
        ("fit: {clip_norm: null}", "fit.clip_norm", None),
        ("fit: {clip_norm: ~}", "fit.clip_norm", None),
        ("fit: {clip_norm: }", "fit.clip_norm", None),
        ("fit:", "fit.epochs", 20),
        ("rivals: no", "rivals", False),
        ("rivals: OFF", "rivals", False),
        ("augment: {flip: yes}", "augment.flip", True),
        ("augment: {flip: on}", "augment.flip", True),
        ("data: {name: 2020-01-01}", "data.name", "2020-01-01"),
        ("data: {name: 913264e1}", "data.name", "913264e1"),
        ("data: {name: 010}", "data.name", "010"),
        ("data: {name: off}", "data.name", "off"),
        ("data: {label_column: no}", "data.label_column", "no"),
        ("data: {label_column: 'null'}", "data.label_column", "null"),
        ("data: {label_column: 12:30}", "data.label_column", "12:30"),
        ("data: {classes: [3, 1]}", "data.classes", (3, 1)),
        ("fit: {betas: [0.5, 9e-1]}", "fit.betas", (0.5, 0.9)),
        ("model: {arguments: {a: true, b: 'off'}}", "model.arguments", {"a": True, "b": "off"}),
        ("model: {arguments: {a: 1e-3, b: '1e-3'}}", "model.arguments", {"a": 0.001, "b": "1e-3"}),
        ("model: {arguments: {on: null, 3: x}}", "model.arguments", {"on": None, "3": "x"}),
        ("model: {arguments: }", "model.arguments", {}),
    ],
)
def test_words_of_yaml_that_an_option_settles(
    line: str, key: str, value: object, tmp_path: Path
) -> None:
    found: Any = from_yaml(line, tmp_path)
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fit:\n  compile: no", "line 2: fit.compile: 'no' is not valid; did you mean 'off'"),
        ("fit:\n  compile: false", "line 2: fit.compile: 'false' is not valid; did you mean 'off'"),
        ("fit:\n  optimizer: AdamW", "line 2: .*did you mean 'adamw'"),
        ("fit:\n\n  ema: off", "line 3: fit.ema: 'off' is not a number; .*or null"),
        ("fit: {epochs: 010}", "line 1: fit.epochs: '010' could be octal"),
        ("fit: {epochs: 0o10}", "could be octal"),
        ("fit: {epochs: 0x10}", "another base"),
        ("fit: {epochs: 1:30}", "'1:30' is not a whole number"),
        ("fit: {epochs: 2020-01-01}", "not a whole number"),
        ("fit: {epochs: 2.5}", "not a whole number"),
        ("fit: {epochs: true}", "'true' is not a whole number"),
        ("fit: {epochs: }", "fit.epochs: it has no value"),
        ("fit: {lr: 0,5}", "unknown option 'fit.5'"),
        ("fit: {lr: .nan}", "not finite"),
        ("fit: {weight_decay: -.inf}", "not finite"),
        ("fit: {lr: 1e999}", "out of range"),
        ("fit: {seed: 99999999999999999999}", "out of range"),
        ("rivals: 2", "neither true nor false"),
        ("rivals: maybe", "neither true nor false"),
        ("data: {name: }", "data.name: it has no value"),
        ("data: {classes: 3}", "data.classes: expected a list, each a whole number; or null"),
        ("fit: {betas: [0.9]}", "fit.betas: it has 1; expected a list of 2"),
        ("fit: {betas: [0.9, x]}", r"fit.betas\[1\]: 'x' is not a number"),
        ("fit: 3", "fit: expected a mapping"),
        ("fit: [a]", "fit: expected a mapping"),
        ("[a]", "expected a mapping"),
        ("word", "expected a mapping"),
        ("model: {arguments: {a: off}}", 'off can be read .*: write "off" or false'),
        ("model: {arguments: {a: Yes}}", "Yes can be read as a word or as true"),
        ("model: {arguments: {a: [010]}}", r"model.arguments.a\[0\]: '010' can be read"),
        ("model: {arguments: {a: 2020-01-01}}", "can be read in several ways"),
        ("model: {arguments: {a: 12:30}}", "can be read in several ways"),
        ("model: {arguments: {a: .inf}}", "not finite"),
        (
            "fit:\n  epochs: 1\n  lr: 1\n  epochs: 2",
            r"line 4: .*'fit.epochs' occurs twice .*line 2",
        ),
        ("fit: {lr: 1}\ndata: {}\nfit: {}", r"line 3: the key 'fit' occurs twice \(line 1"),
        ("model: {arguments: {a: 1, 'a': 2}}", "'model.arguments.a' occurs twice"),
        ("fit: {distil: {at: {1: 0.5, 01: 2}}}", "could be octal"),
        ("fit: {distil: {at: {1: 0.5, 1.0: 2}}}", "the key 1 occurs twice"),
        ("fit.epochs: 3", "write 'fit.epochs' as 'epochs' in the section 'fit'"),
        ("epochs: 3", "did you mean 'fit.epochs'"),
        ("Fit: {epochs: 3}", "did you mean 'fit'"),
        ("fit:\n  path:\n    stat: 1", "line 3: unknown option 'fit.path.stat'; did you mean"),
        ("? [a, b]\n: 1", "a key must be a single word"),
        ("data:\n\tname: digits", "line 2: this is not YAML"),
        ("a: 1\n---\nb: 2", "line 2: this is not YAML"),
        ("fit: !!str off", "the tag"),
        ('data: {name: "a\\0b"}', "NUL"),
        ("fit: {<<: 3}", "<< takes a mapping"),
    ],
)
def test_words_of_yaml_that_are_named_with_their_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        from_yaml(text, tmp_path)


TYPOS = {
    "compress": ("--fit.epoch 3", "fit.epochs"),
    "train": ("--model.dept 3", "model.depth"),
    "stream": ("--stream.task 3", "stream.tasks"),
    "probe": ("m --splt test", "split"),
    "cut": ("m --dept 3", "depth"),
    "prune": ("m --shares 0.1", "share"),
    "exit": ("m --treshold 1", "threshold"),
    "predict": ("m a --treshold 1", "threshold"),
    "measure": ("m --batchsize 1", "batch_sizes"),
    "bench": ("m --batchsize 1", "batch_sizes"),
    "serve": ("m --prt 1", "port"),
    "export": ("m --ouput x.onnx", "output"),
    "plan": ("s --block x", "blocks"),
    "convert": ("s --conectivity acn", "connectivity"),
    "reproduce": ("c --sede 3", "seeds"),
    "generate": ("m --promt x", "prompt"),
    "report": ("r --opn", "open"),
    "runs": ("--were x", "where"),
    "compare": ("a b --jsn", "json"),
    "doctor": ("--quite", "quiet"),
    "completion": ("bash --jsn", "json"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_matches_its_own_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, meant = TYPOS[verb]
    assert main([verb, *words.split()]) == 2
    errors = capsys.readouterr().err
    assert f"did you mean '{meant}'" in errors
    known = set(options_of_verb(VERBS[verb]).names())
    listed = errors.partition("(known: ")[2].partition(")")[0]
    assert {name for name in listed.split(", ") if name} <= known


def test_words_without_an_option_are_checked_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    errors = capsys.readouterr().err
    assert "tcsh" in errors
    assert all(shell in errors for shell in ("bash", "zsh", "fish"))
    assert main(["completion", "fish"]) == 0


@pytest.mark.parametrize("word", ["null", "none", "~", "true", "3", "1e3", "[1]", "a: b", "", "#"])
def test_a_path_is_taken_as_it_is_typed(word: str) -> None:
    assert from_words("probe", word)[0].model == word


def test_an_option_of_another_section_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, meant in [("--epochs", "fit.epochs"), ("--widht", "model.width")]:
        assert main(["compress", wrong, "3"]) == 2
        assert f"did you mean '{meant}'" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--json", "--json true", "--json=on", "--json yes"])
def test_flags_need_no_value(flag: str) -> None:
    for words in (
        ["m", *flag.split()],
        [*flag.split(), "m"],
        [*flag.split(), "--split", "test", "m"],
    ):
        own, _ = from_words("probe", *words)
        assert (own.json, own.model) == (True, "m")
    assert not from_words("probe", "m", "--json", "false")[0].json
    assert from_words("train", "--output", "x", "--resume")[0].resume


def test_lists_as_a_shell_user_types_them() -> None:
    for words in ("[1, 64]", "1,64", "1 64"):
        split = [words] if "[" in words else words.split()
        assert from_words("measure", "--batch_sizes", *split, "m")[0].batch_sizes == (1, 64)
    _, said = from_words("train", "--output", "x", "--fit.betas", "0.5", "0.25", "--fit.lr=1e-2")
    assert said.sections == {"fit": {"betas": (0.5, 0.25), "lr": 0.01}}
    own, _ = from_words("reproduce", "depth", "--out", "o", "--data", "a", "B=c")
    assert own.data == ("a", "B=c")


def test_values_of_words() -> None:
    _, said = from_words(
        "train",
        *("--output", "x", "--fit.batch-size", "8", "--fit.path", "{start: 0.1}"),
        *("--fit.path.stop", "0.9", "--model.arguments", "{a: 1}", "--model.arguments.b", "2.0"),
        *("--data.name", "null", "--data.text_column", "null", "--fit.compile", "off"),
    )
    assert said.sections == {
        "fit": {"batch_size": 8, "path": {"start": 0.1, "stop": 0.9}, "compile": "off"},
        "model": {"arguments": {"a": 1, "b": 2.0}},
        "data": {"name": "null", "text_column": None},
    }


def test_words_change_the_recipe_in_their_order(tmp_path: Path) -> None:
    for name, text in [("a.yaml", "fit: {lr: 1, epochs: 1}"), ("b.yaml", "fit: {epochs: 2}")]:
        (tmp_path / name).write_text(text)
    recipes = [word for name in "ab" for word in ("--config", str(tmp_path / f"{name}.yaml"))]
    _, said = from_words("compress", "--output", "x", *recipes, "--fit.lr", "3", "--heal", "1")
    assert said.sections == {"fit": {"lr": 3.0, "epochs": 2}, "heal": 1}


@pytest.mark.parametrize(
    ("words", "fit", "control"),
    [
        ("RECIPE --fit.epochs 5", {"epochs": 5, "lr": 0.2}, {"epochs": 5, "lr": 0.1}),
        ("--fit.epochs 5 RECIPE", {"epochs": 40, "lr": 0.2}, {"epochs": 40, "lr": 0.1}),
        ("RECIPE --fit.lr 1", {"epochs": 40, "lr": 1.0}, {"epochs": 40, "lr": 0.1}),
        (
            "RECIPE --control.epochs 9 --fit.epochs 5",
            {"epochs": 5, "lr": 0.2},
            {"epochs": 9, "lr": 0.1},
        ),
        (
            "RECIPE --fit.device cpu",
            {"epochs": 40, "lr": 0.2, "device": "cpu"},
            {"epochs": 40, "lr": 0.1, "device": "cpu"},
        ),
        ("--fit.epochs 5 --control.lr 1", {"epochs": 5}, {"epochs": 5, "lr": 1.0}),
        ("--fit.epochs 5", {"epochs": 5}, None),
    ],
)
def test_rivals_follow_what_words_change_of_the_training(
    words: str, fit: dict[str, Any], control: dict[str, Any] | None, tmp_path: Path
) -> None:
    recipe = tmp_path / "a.yaml"
    recipe.write_text("fit: {epochs: 40, lr: 0.2}\ncontrol: {epochs: 40, lr: 0.1}")
    _, said = from_words("compress", *words.replace("RECIPE", str(recipe)).split())
    assert (said.sections["fit"], said.sections.get("control")) == (fit, control)


@pytest.mark.parametrize(
    ("words", "select"),
    [
        ("RECIPE --select.layers 4", {"layers": 4}),
        ("RECIPE --select.knee", {"knee": True}),
        ("RECIPE --select.confidence 0.95", {"confidence": 0.95}),
        ("RECIPE --select.flops 9", {"flops": 9.0}),
        ("RECIPE --select.flops null", {"flops": None}),
        ("OTHER --select.tolerance 0.1", {"tolerance": 0.1, "confidence": 0.9}),
        ("OTHER --select.nats 0.1", {"nats": 0.1}),
    ],
)
def test_a_rule_in_words_replaces_the_rule_of_the_recipe(
    words: str, select: dict[str, Any], tmp_path: Path
) -> None:
    rules = {"RECIPE": "{flops: 5}", "OTHER": "{tolerance: 0.2, confidence: 0.9}"}
    for name, rule in rules.items():
        path = tmp_path / f"{name.lower()}.yaml"
        path.write_text(f"select: {rule}")
        words = words.replace(name, str(path))
    _, said = from_words("compress", *words.split())
    assert said.sections["select"] == select


def test_a_rule_of_a_cut_in_words_replaces_the_rule_of_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "a.yaml"
    recipe.write_text("fit: {cut: {at: [0.3, 0.6], tolerance: 0.1, spare: 1}}")
    _, said = from_words("compress", str(recipe), "--fit.cut.layers", "4", "2")
    assert said.sections["fit"]["cut"] == {"at": (0.3, 0.6), "layers": (4, 2)}


def test_two_rules_in_words_remain_two(tmp_path: Path) -> None:
    _, said = from_words("compress", "--select.layers", "4", "--select.flops", "9")
    assert said.sections["select"] == {"layers": 4, "flops": 9.0}


@pytest.mark.parametrize("verb", ["compress", "train", "stream"])
def test_data_and_recipe_need_no_option(verb: str, tmp_path: Path) -> None:
    recipe = tmp_path / "a.yaml"
    recipe.write_text("data: {name: hierarchy}\nfit: {epochs: 2}")
    for words in (("my photos", recipe), (recipe, "my photos"), ("--resume", "my photos", recipe)):
        _, said = from_words(verb, "--output", "x", *map(str, words), "--fit.epochs", "5")
        assert said.sections == {"data": {"name": "my photos"}, "fit": {"epochs": 5}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train fit.epochs 3", "did you mean --fit.epochs"),
        ("train fit.epochs=3", "did you mean --fit.epochs=3"),
        ("train -o here", "unknown option 'o'"),
        ("probe m photos --data.name x photos", "unexpected word 'photos'"),
        ("train photos --data.name=x", "named twice"),
        ("cut m --depth", "--depth needs a value: a whole number"),
        ("cut m --depth --output x", "--depth needs a value"),
        ("cut m --output x", "choose the blocks to keep: --depth 4"),
        ("cut --depth 3 --output x", "model is missing"),
        ("cut m n --depth 3 --output x", "unexpected word 'n'"),
        ("cut m depth=3 --output x", "did you mean --depth=3"),
        ("cut m -d 3 --output x", "unknown option 'd'"),
        ("cut m --depth 3.5 --output x", "not a whole number"),
        ("cut m --depth 1e400 --output x", "out of range"),
        ("prune m --share nan --output x", "not finite"),
        ("probe m --split tests", "did you mean 'test'"),
        ("probe m --data digits", "--data: expected a mapping"),
        ("probe m --data.nam digits", "did you mean 'data.name'"),
        ("exit m --threshold 0.1 --drop 0.1", "give one"),
        ("generate m --new 3", "--prompt TEXT"),
        ("generate m --new 3 --prompt a --ids 1", "--prompt TEXT"),
        ("reproduce depth", "--output DIR"),
        ("reproduce dept", "did you mean 'depth'"),
        ("reproduce --check", "check is not used"),
        ("reproduce depth --out x --committed y", "--check"),
        ("reproduce depth --out x --jobs 2 --cluster ray", "give one"),
        ("plan s --arguments [1]", "--arguments: expected a mapping"),
        ("plan s --arguments {a", "--arguments: this is not YAML"),
        ("train --output x --fit.distil.at.1 0.5", "unknown option"),
        ("prob m", "did you mean 'probe'"),
        ("--jsn", "unknown verb"),
    ],
)
def test_wrong_words(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["a\0b", "a\udcffb"])
def test_words_that_no_file_can_be_called(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["measure", word],
        ["cut", "m", "--output", word],
        [f"--{word}"],
        ["cut", f"--{word}"],
    ):
        assert main(words) == 2
        assert capsys.readouterr().err.startswith("acn: error: ")


TINY = ["--data.train_limit=100", "--model.depth=1", "--model.width=8", "--fit.epochs=1"]


@pytest.mark.parametrize("option", ["--select.knee", "--heal 3", "--rivals false", "--control {}"])
def test_train_refuses_what_only_compress_uses(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["train", *TINY, *option.split(), "--output", str(out)]) == 2
    said = capsys.readouterr().err
    assert f"acn train does not use {option.split()[0]}" in said
    assert "acn compress" in said
    assert not out.exists()


def test_a_recipe_of_compress_trains_and_what_is_not_used_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = tmp_path / "r.yaml", tmp_path / "out"
    recipe.write_text("select: {knee: true}\nrivals: true\ncontrol: {epochs: 2}\n")
    assert main(["train", "--config", str(recipe), *TINY, "--output", str(out)]) == 0
    said = capsys.readouterr().err
    assert "does not use what the recipe says of select, control" in said
    assert "rivals" not in said  # it says what is so without it
    kept = read_config(out / "config.yaml")
    assert kept.select.knee
    assert kept.control is not None


def test_train_does_not_offer_what_it_does_not_use(capsys: pytest.CaptureFixture[str]) -> None:
    for verb, there in [("train", False), ("compress", True)]:
        assert main([verb, "--help-all"]) == 0
        shown = capsys.readouterr().out
        assert "--fit.epochs" in shown
        assert ("--select.knee" in shown) == ("--heal" in shown) == there


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_every_option(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help-all"]) == 0
    shown = capsys.readouterr().out
    options = options_of_verb(VERBS[verb])
    for key in (key for key in options.names() if "." not in key):
        assert (key if key in options.places else f"--{key}") in shown, key


def test_the_resolved_options_are_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["train", "--fit.lr", "3", "--output", "nowhere", "--print_config"]) == 0
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(capsys.readouterr().out)
    assert read_config(recipe).fit.lr == 3.0
