"""What a predictor answers, and what it says of inputs that it cannot answer."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autocompress as ac
from autocompress.data import DataConfig, TextSplits
from autocompress.errors import CheckpointError, ConfigError, DataError
from autocompress.predict import Guess, Prediction
from autocompress.training.evaluate import scores_by_depth
from texts import write_sentences


def trained(net: Any, data: Any) -> Any:
    ac.fit(net, data.train, config=ac.FitConfig(epochs=2, lr=0.01), progress=False)
    return net


@pytest.fixture(scope="module")
def digits() -> Any:
    return ac.load_data(DataConfig(train_limit=200))


@pytest.fixture(scope="module")
def net(digits: Any) -> Any:
    torch.manual_seed(0)
    return trained(ac.models.MLP(depth=2, width=16, image_size=8, channels=1), digits)


@pytest.fixture(scope="module")
def pictures(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The images of validation as PNG files."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for number, image in enumerate(digits.validation.images):
        paths.append(folder / f"{number:03}.png")
        Image.fromarray(image[0].numpy()).save(paths[-1])
    return paths


def hits(net: Any, source: Any) -> list[bool]:
    return scores_by_depth(net, source).hits[:, -1].tolist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("tokenizers")
    folder = write_sentences(tmp_path_factory.mktemp("sentences"))
    return ac.load_data(
        DataConfig(name=str(folder), task="text-classification", length=48, vocabulary=60)
    )


@pytest.fixture(scope="module")
def reader(words: TextSplits) -> Any:
    torch.manual_seed(0)
    return trained(ac.models.Encoder(depth=2, width=16, heads=2, **words.arguments), words)


def test_files_are_scored_as_validation_is(net: Any, digits: Any, pictures: list[Path]) -> None:
    wanted = [str(int(label)) for label in digits.validation.labels]
    found = ac.Predictor(net)(pictures)
    right = [one.label == name for one, name in zip(found, wanted, strict=True)]
    assert right == hits(net, digits.validation)
    assert 0.2 < sum(right) / len(right) < 1
    small = net.predict(pictures, batch_size=7)
    assert [one.label for one in small] == [one.label for one in found]
    whole = net.predict(pictures[0].parent)
    assert [one.input for one in whole] == [str(path) for path in pictures]
    assert [one.top for one in whole] == [one.top for one in found]


def test_texts_are_scored_as_validation_is(reader: Any, words: TextSplits, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.load_dataset(
        "parquet", data_files=str(Path(words.name) / "validation.parquet")
    )
    rows = table["train"]
    found = reader.predict(rows["sentence"])
    right = [int(one.label) == label for one, label in zip(found, rows["label"], strict=True)]
    assert right == hits(reader, words.validation)
    assert sum(right) / len(right) > 0
    (tmp_path / "all.txt").write_text("\n".join(rows["sentence"]) + "\n\n")
    from_file = reader.predict(tmp_path / "all.txt")
    assert [one.top for one in from_file] == [one.top for one in found]
    assert from_file[0].input == rows["sentence"][0]


def test_every_form_of_a_picture_gives_the_same(net: Any, pictures: list[Path]) -> None:
    pandas = pytest.importorskip("pandas")
    datasets = pytest.importorskip("datasets")
    path = pictures[3]
    (expected,) = net.predict([path])
    with Image.open(path) as image:
        image.load()
    column = datasets.Dataset.from_dict(
        {"image": [str(path)]}, features=datasets.Features({"image": datasets.Image()})
    )
    forms = [
        str(path),
        image,
        path.read_bytes(),
        np.array(image),
        {"bytes": path.read_bytes(), "path": None},
        [image],
        pandas.Series([str(path)]),
        pandas.Series([str(path)]).astype("category"),
        column["image"],
        column.with_format("torch")["image"],
        column.with_format("numpy")["image"],
        column.cast_column("image", datasets.Image(decode=False))["image"],
        np.array(image)[None],
        (str(name) for name in [path]),
        torch.from_numpy(np.array(image))[None, None],
    ]
    for form in forms:
        found = net.predict(form)
        one = found if isinstance(found, Prediction) else found[0]
        assert one.top == expected.top
    assert isinstance(net.predict(str(path)), Prediction)
    assert len(net.predict(path, top=3).top) == 3
    assert expected.probability == expected.top[0].probability
    assert sum(guess.probability for guess in net.predict(path, top=10).top) == pytest.approx(1)


def test_colour_and_size_are_brought_to_the_networks_and_said(net: Any, tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), "white").save(tmp_path / "wide.png")
    with pytest.warns(UserWarning, match=r"wide.png is in colour .*; has 10 x 20 pixels .* 8 x 8"):
        found = net.predict(tmp_path / "wide.png")
    assert found.label is not None
    net = ac.models.MLP(depth=1, width=4, classes=2, image_size=2, channels=3)
    net.preprocess = ac.data.ImageInput(size=(2, 2), channels=3, resize=True).to_json()
    assert net.predict(tmp_path / "wide.png").note is None


BAD = {
    "empty.png": ("0 bytes", b""),
    "text.png": ("cannot be decoded: it is no picture that Pillow reads", b"no picture at all"),
    "deep.png": ("mode 'I;16'", Image.new("I;16", (8, 8))),
    "many.gif": ("several frames", [Image.new("L", (8, 8), c) for c in (0, 255)]),
    "broken.png": ("cannot be decoded", "cut"),
    "huge.png": ("has too many pixels|MAX_IMAGE_PIXELS", Image.new("1", (20_000, 20_000))),
}


def written(folder: Path, name: str) -> Path:
    what, path = BAD[name][1], folder / name
    if isinstance(what, bytes):
        path.write_bytes(what)
    elif isinstance(what, list):
        what[0].save(path, save_all=True, append_images=what[1:])
    elif what == "cut":
        file = io.BytesIO()
        Image.effect_noise((64, 64), 50).save(file, "PNG")
        path.write_bytes(file.getvalue()[:1500])
    else:
        what.save(path)
    return path


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_gets_a_line_and_the_rest_is_answered(
    net: Any, pictures: list[Path], tmp_path: Path, name: str
) -> None:
    bad = written(tmp_path, name)
    with pytest.raises(DataError, match=BAD[name][0]):
        net.predict(bad)
    with pytest.warns(UserWarning, match=f"1 of 3 inputs have no answer.*{name}"):
        found = net.predict([pictures[0], bad, pictures[1]])
    assert [one.error is None for one in found] == [True, False, True]
    assert found[1].label is None
    assert str(bad) in str(found[1].error)
    assert "\n" not in str(found[1])


def test_an_array_of_other_numbers_is_named_by_its_kind(net: Any) -> None:
    for array in (np.zeros((8, 8)), np.zeros((8, 8, 1), "float32"), np.zeros((8, 8, 3), "int64")):
        with pytest.raises(DataError) as error:
            net.predict(array)
        assert f"picture 0 is an array of {array.dtype} {array.shape}; " in str(error.value)
        assert "more inputs" not in str(error.value)


def test_mixed_kinds_are_named_one_by_one(net: Any, reader: Any, pictures: list[Path]) -> None:
    with pytest.warns(UserWarning, match="4 of 5"):
        found = net.predict([None, pictures[0], 3.5, "a sentence", np.zeros((8, 8))])
    assert [one.error is None for one in found] == [False, True, False, False, False]
    assert "empty cell" in str(found[0].error)
    assert "does not exist" in str(found[3].error)
    with pytest.warns(UserWarning, match="2 of 3"):
        found = reader.predict(["good film", Image.new("L", (8, 8)), 7])
    assert [one.error is None for one in found] == [True, False, False]
    assert "takes texts" in str(found[1].error)
    with pytest.raises(DataError, match="takes texts"):
        reader.predict(Image.new("L", (8, 8)))
    with pytest.raises(DataError, match="no answer|is a value"):
        net.predict([1, 2])
    assert net.predict([]) == []


def test_names_that_no_file_can_have(net: Any, pictures: list[Path]) -> None:
    for name in ("x" * 5000, "a\0b", "", "folder/that/is/not.png"):
        with pytest.warns(UserWarning, match="1 of 2 inputs have no answer"):
            found = net.predict([pictures[0], name])
        assert len(str(found[1])) < 500
        assert "\n" not in str(found[1])


def test_a_long_text_is_cut_as_in_training(reader: Any) -> None:
    text = "good film and " * 30
    with pytest.warns(UserWarning, match="tokens and was cut to 48, as in training"):
        found = reader.predict(text)
    with pytest.warns(UserWarning, match="cut"):
        assert found.top == reader.predict("good film and " * 29).top
    with pytest.raises(DataError, match="no word in it"):
        reader.predict("  ")


def test_columns_of_texts(reader: Any) -> None:
    """Of pandas, datasets and pyarrow, with missing cells, which have no answer."""
    pandas = pytest.importorskip("pandas")
    datasets = pytest.importorskip("datasets")
    pyarrow = pytest.importorskip("pyarrow")
    rows = ["good film", "bad plot"]
    expected = [one.top for one in reader.predict(rows)]
    column = pandas.Series(rows, index=["x", "y"])
    table = datasets.Dataset.from_dict({"text": rows})
    for form in (
        column,
        column.astype("category"),
        column.astype("string"),
        column.to_numpy(),
        np.array(rows),
        table["text"],
        table.with_format("numpy")["text"],
        table.with_format("arrow")[:]["text"],
        table.to_iterable_dataset()["text"],
        pyarrow.chunked_array([rows[:1], rows[1:]]),
    ):
        assert [one.top for one in reader.predict(form)] == expected
    for gap in (
        pandas.Series([rows[0], None]),
        pandas.Series([rows[0], pandas.NA], dtype="string"),
        pandas.Series([rows[0], pandas.NaT], dtype=object),
        datasets.Dataset.from_dict({"text": [rows[0], None]})["text"],
        pyarrow.array([rows[0], None]),
    ):
        with pytest.warns(UserWarning, match="text 1 is an empty cell"):
            first, second = reader.predict(gap)
        assert first.top == expected[0]
        assert second.label is None


def test_a_whole_table_and_an_empty_folder_are_refused(net: Any, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataError, match="one of its columns: path, label"):
        net.predict(pandas.DataFrame({"path": ["a.png"], "label": [1]}))
    with pytest.raises(DataError, match="holds no picture"):
        net.predict(tmp_path)


def test_pairs_of_texts(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    rows = ["\t".join(["good film", other, label]) for other, label in
            [("fine plot", "same"), ("bad plot", "other")] * 20]  # fmt: skip
    (tmp_path / "train.tsv").write_text("\n".join(["one\ttwo\tlabel", *rows]))
    data = ac.load_data(
        DataConfig(name=str(tmp_path), task="text-classification", length=16, vocabulary=40,
                   text_column="one", second_column="two")
    )  # fmt: skip
    net = ac.models.Encoder(depth=1, width=8, heads=1, **data.arguments)
    data.meaning.tell(net)
    ac.save(net, tmp_path / "net")
    net = ac.load(tmp_path / "net")
    one = net.predict(("good film", "bad plot"))
    assert one.label in ("same", "other")
    assert net.predict(["good film\tbad plot"])[0].top == one.top
    with pytest.raises(DataError, match="pairs of texts"):
        net.predict("good film")


def answering(monkeypatch: pytest.MonkeyPatch, objective: str, logits: list[list[float]]) -> Any:
    net = ac.models.MLP(depth=1, width=4, classes=len(logits[0]), image_size=2, channels=1)
    monkeypatch.setattr(type(net), "objective", objective)
    monkeypatch.setattr(type(net), "forward", lambda self, x: torch.tensor(logits)[: len(x)])
    return net


def test_several_labels_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    net = answering(monkeypatch, "multi-label", [[-3.0, 0.5, 2.0], [-1.0, -2.0, -3.0]])
    net.class_names = ["a", "b", "c"]
    first, second = net.predict(torch.zeros(2, 1, 2, 2))
    assert [guess.name for guess in first.top] == ["c", "b"]
    assert first.top[0].probability == pytest.approx(torch.tensor(2.0).sigmoid().item())
    assert (second.label, second.top) == (None, ())
    assert "threshold" in str(second)
    assert len(net.predict(torch.zeros(1, 1, 2, 2), threshold=0.01)[0].top) == 3
    net = answering(monkeypatch, "regression", [[2.25]])
    (number,) = net.predict(torch.zeros(1, 1, 2, 2))
    assert number.values == (2.25,)
    assert str(number) == "0: 2.25"


def test_a_network_of_another_task_is_refused(words: TextSplits) -> None:
    net: Any = ac.models.Decoder(depth=1, width=8, heads=1, vocabulary=30, length=8)
    with pytest.raises(ConfigError, match="predicts words"):
        ac.Predictor(net)
    with pytest.raises(ConfigError, match="neither a tokenizer nor"):
        ac.models.MLP(depth=1, width=4).predict("cat.png")
    tokens = ac.models.Encoder(
        depth=1, width=8, heads=1, vocabulary=9, length=4, classes=3, per_token=True
    )
    with pytest.raises(ConfigError, match="for each token"):
        tokens.predict(torch.ones(1, 4, dtype=torch.long))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"device": "nonsense"}, "device 'nonsense'"),
        ({"threshold": 2.0}, "threshold"),
        ({"batch_size": 0}, "batch_size"),
        ({"top": 0}, "top"),
    ],
)
def test_options_out_of_bounds(net: Any, option: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        net.predict(torch.zeros(1, 1, 8, 8), **option)
    net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
    net.class_names = ["one"]
    with pytest.raises(ConfigError, match="1 class names are recorded for a network of 3"):
        ac.Predictor(net)


def test_folders_and_runs(net: Any, pictures: list[Path], tmp_path: Path) -> None:
    wanted = net.predict(pictures[0])
    ac.save(net, tmp_path / "model")
    assert ac.Predictor(tmp_path)(pictures[0]).top == wanted.top
    ac.save(ac.cut(net, 1), tmp_path / "small")
    assert ac.Predictor(tmp_path).net.depth == 1
    assert ac.Predictor(str(tmp_path / "model"), device="cpu").net.depth == 2
    with pytest.raises(CheckpointError, match="no saved network"):
        ac.Predictor(tmp_path.parent)


def test_leaving_early(net: Any, pictures: list[Path]) -> None:
    never = net.predict(pictures[:9], exit_below=0.0)
    assert [one.depth for one in never] == [2] * 9
    assert [one.label for one in never] == [one.label for one in net.predict(pictures[:9])]
    assert net.predict(pictures[0], exit_below=9.9).depth == 1


def test_it_prints_in_one_line() -> None:
    one = Prediction("a\nb.png", "x\x1b[1m", 0.5, (Guess("x\x1b[1m", 0.5),))
    assert str(one) == "a b.png: x?[1m 50.0 %"
