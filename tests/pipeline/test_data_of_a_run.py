"""The data of a run that have changed since, and classes that network and data number otherwise."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.data import Splits, TensorSource, load_data
from autocompress.data.config import DataConfig
from autocompress.errors import CheckpointError, ConfigError
from autocompress.io import write_json
from autocompress.io.seal import seal
from autocompress.pipeline import ModelConfig, RunConfig, build_network, load_for
from autocompress.pipeline.class_names import in_order_of
from autocompress.pipeline.fingerprint import changes_since, description_of
from autocompress.pipeline.recipes import read_config

LEVELS = {"cat": 30, "dog": 120, "fox": 220}
TINY = ["--model.name", "mlp", "--model.width", "8", "--model.depth", "1", "--quiet"]
TINY += ["--fit.epochs", "8", "--fit.lr", "0.02", "--fit.batch_size", "8"]


def acn(*words: object) -> int:
    return main([str(word) for word in words])


def pictures(root: Path, classes: tuple[str, ...] = ("cat", "dog", "fox")) -> Path:
    """A folder of pictures whose brightness is their class."""
    draw = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(30):
            pixels = (LEVELS[name] + draw.integers(-20, 20, (4, 4))).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def rows(path: Path, lines: list[str]) -> Path:
    path.write_text("text,label\n" + "\n".join(lines))
    return path


LINES = [f"word{i % 7} other{i % 5} {i},{['neg', 'pos'][i % 2]}" for i in range(60)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pictures of three classes, which it tells apart."""
    root = tmp_path_factory.mktemp("animals")
    assert acn("train", pictures(root / "data"), *TINY, "--output", root / "run") == 0
    return root / "run"


# -- data that have changed ------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1024, 0], ids=["in memory", "on demand"])
@pytest.mark.parametrize("change", ["added", "replaced", "class"])
def test_changed_pictures_are_noticed(tmp_path: Path, limit: int, change: str) -> None:
    root = pictures(tmp_path / "data")

    def data() -> Splits:
        return load_data(str(root), device_limit_mb=limit)

    write_json(tmp_path / "data.json", description_of(data()))
    assert changes_since(tmp_path, data()) == []
    if change == "class":
        (root / "cat").rename(root / "wolf")
        (found,) = [said for said in changes_since(tmp_path, data()) if "classes" in said]
        assert found == "classes cat, dog, fox -> dog, fox, wolf"
        return
    new = np.arange(16, dtype=np.uint8).reshape(4, 4) * (1 if change == "added" else 16)
    Image.fromarray(new).save(root / "dog" / ("new.png" if change == "added" else "3.png"))
    assert changes_since(tmp_path, data())


@pytest.mark.parametrize("task", ["text-classification", "masked-lm"])
def test_changed_texts_are_noticed(tmp_path: Path, task: str) -> None:
    file = rows(tmp_path / "texts.csv", LINES)

    def data() -> Splits:
        named = {"text_column": "text"} if task == "masked-lm" else {}
        options = {"length": 8, "vocabulary": 60, "truncate": task != "masked-lm"}
        return load_data(str(file), task=task, **options, **named)

    write_json(tmp_path / "data.json", description_of(data()))
    assert changes_since(tmp_path, data()) == []
    rows(file, LINES[::-1])
    assert changes_since(tmp_path, data())


def test_a_run_does_not_resume_on_other_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = pictures(tmp_path / "data"), tmp_path / "run"
    assert acn("train", root, *TINY, "--output", run) == 0
    shutil.rmtree(run / "model")
    resume = ["train", "--config", run / "config.yaml", "--output", run, "--resume", "--quiet"]
    Image.fromarray(np.full((4, 4), 77, np.uint8)).save(root / "cat" / "0a.png")
    capsys.readouterr()
    assert acn(*resume) == 2
    said = capsys.readouterr().err
    assert re.search(r"have changed since the run in .*\(.* -> .* examples", said)
    assert not (run / "model").exists()

    held = json.loads((run / "data.json").read_text())
    del held["digests"], held["class_names"]  # as an earlier version wrote it
    (run / "data.json").write_text(json.dumps(held))
    assert acn(*resume) == 2
    assert re.search(r"\(.* -> .* examples", capsys.readouterr().err)
    (root / "cat" / "0a.png").unlink()
    assert acn(*resume) == 0


def test_a_run_of_an_earlier_version_is_read_although_a_setting_had_no_effect(
    trained: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    file = run / "config.yaml"
    file.write_text(file.read_text().replace("vocabulary: 8192", "vocabulary: 500"))
    assert "vocabulary: 500" in file.read_text()
    with pytest.raises(CheckpointError, match="altered"):
        read_config(file)
    seal(file)
    assert read_config(file).data.vocabulary == DataConfig.vocabulary
    shutil.copy(file, tmp_path / "recipe.yaml")
    with pytest.raises(ConfigError, match=r"data.vocabulary is for texts"):
        read_config(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("key", ["counts", "digests"])
def test_damaged_records_of_the_data_are_named(tmp_path: Path, key: str) -> None:
    write_json(tmp_path / "data.json", {**description_of(some_data(["a"])), key: [1]})
    with pytest.raises(CheckpointError, match=rf"data.json is .* damaged: .*{key}"):
        changes_since(tmp_path, some_data(["a"]))


def test_later_verbs_say_that_the_data_have_changed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = trained.parent / "data"
    assert acn("probe", trained) == 0
    assert "have changed" not in capsys.readouterr().err
    new = data / "cat" / "0a.png"
    Image.fromarray(np.full((4, 4), 31, np.uint8)).save(new)
    try:
        assert acn("probe", trained) == 0
        assert re.search(r"have changed .*\(.* -> .* examples", capsys.readouterr().err)
        assert acn("probe", trained, "--data.name", data) == 0  # the user names them
        assert "have changed" not in capsys.readouterr().err
    finally:
        new.unlink()


# -- class names -----------------------------------------------------------------------------------


def test_fewer_classes_count_by_their_names(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = pictures(tmp_path / "some", ("dog", "fox"))
    words = ["probe", trained, "--data.name", some, "--split", "test", "--json"]
    capsys.readouterr()
    assert acn(*words) == 0
    assert json.loads(capsys.readouterr().out)[-1]["score"] == 1.0
    (some / "fox").rename(some / "wolf")
    for verb in ("probe", "exit", "bench"):
        assert acn(verb, trained, "--data.name", some) == 2
        said = capsys.readouterr().err
        assert "are dog, wolf" in said
        assert "knows cat, dog, fox" in said


def some_data(classes: list[str]) -> Splits:
    images = torch.zeros(2 * len(classes), 1, 2, 2, dtype=torch.uint8)
    source = TensorSource(images, torch.arange(len(classes)).repeat(2))
    return Splits(source, source, source, classes, (0.0,), (1.0,), "some")


@given(st.data())
def test_a_label_keeps_its_name(draw: st.DataObject) -> None:
    known = draw.draw(st.lists(st.text(min_size=1), min_size=1, unique=True))
    own = draw.draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
    before = some_data(own)
    after = in_order_of(before, known, "NET")
    for split in before.sizes:
        was, now = getattr(before, split).labels, getattr(after, split).labels
        assert [own[n] for n in was] == [known[n] for n in now] == [after.classes[n] for n in now]


def test_case_counts_only_where_it_must() -> None:
    labels = some_data(["Dog", "CAT"]).test.labels
    moved = in_order_of(some_data(["Dog", "CAT"]), ["cat", "dog"], "NET")
    assert moved.test.labels.tolist() == [1 - n for n in labels.tolist()]
    exact = in_order_of(some_data(["a", "A"]), ["A", "a"], "NET")
    assert exact.test.labels.tolist() == [1 - n for n in some_data(["a", "A"]).test.labels.tolist()]
    with pytest.raises(ConfigError, match="knows A, a"):
        in_order_of(some_data(["a", "B"]), ["A", "a", "b"], "NET")


@pytest.mark.parametrize(
    ("own", "known"),
    [(["0", "1"], ["a", "b"]), (["a", "b"], ["0", "1"]), (["a", "b"], None), ([], ["a", "b"])],
)
def test_classes_without_names_stay(own: list[str], known: list[str] | None) -> None:
    data = some_data(own or ["a"])
    if not own:
        data = Splits(data.train, data.test, data.test, [], (0.0,), (1.0,), "texts")
    assert in_order_of(data, known, "NET") is data


def test_training_starts_with_the_numbers_of_its_weights(tmp_path: Path) -> None:
    root, init = pictures(tmp_path / "data"), tmp_path / "init"
    net = ac.models.MLP(depth=1, width=4, classes=3, image_size=4, channels=1)
    net.class_names = ["fox", "cat", "dog"]
    ac.save(net, init)
    settings = {"data": ac.data.DataConfig(name=str(root)), "model": ModelConfig(init=str(init))}
    data = load_for(RunConfig(**settings))  # type: ignore[arg-type]
    assert data.classes == ["fox", "cat", "dog"]
    plain = load_data(str(root))
    named = [plain.classes[n] for n in plain.test.labels]
    assert named == [data.classes[n] for n in data.test.labels]
    assert build_network(ModelConfig(init=str(init)), data, seed=0).class_names == data.classes
    with pytest.raises(ConfigError, match="are fox, cat, dog, and those of .* are cat, dog, fox"):
        build_network(ModelConfig(init=str(init)), plain, seed=0)
    net.class_names = ["oak", "elm", "ash"]  # other classes are learnt anew
    ac.save(net, init, overwrite=True)
    assert load_for(RunConfig(**settings)).classes == plain.classes  # type: ignore[arg-type]
    assert build_network(ModelConfig(init=str(init)), plain, seed=0).class_names == plain.classes


def test_images_of_another_size_than_in_training_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timm = pytest.importorskip("timm")
    sizes = {"depths": (1, 1, 1, 1), "dims": (4, 4, 4, 4), "num_classes": 3, "in_chans": 1}
    net = ac.convert(timm.create_model("convnext_atto", **sizes), "residual")  # takes any size
    net.class_names = sorted(LEVELS)
    net.preprocess = ac.data.ImageInput(size=(32, 32), channels=1).to_json()
    ac.save(net, tmp_path / "net")
    words = ["probe", tmp_path / "net", "--data.name", pictures(tmp_path / "data"), "--json"]
    assert acn(*words, "--data.image_size", 64) == 0
    said = capsys.readouterr().err
    assert "have 64 x 64 pixels here, and the network was trained with 32 x 32: --data.im" in said
    assert acn(*words, "--data.image_size", 32) == 0
    assert "pixels here" not in capsys.readouterr().err
