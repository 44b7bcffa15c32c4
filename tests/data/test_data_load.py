"""load_data: what the splits are, from every kind of place, and what bad input gets."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autocompress.data import (
    DataConfig,
    RawSplits,
    Source,
    Splits,
    StreamSource,
    TensorSource,
    list_datasets,
    load_data,
    register_dataset,
)
from autocompress.data.registry import DATASETS
from autocompress.errors import ConfigError, DataError, UnknownNameError


def load(**options: Any) -> Splits:
    return load_data(DataConfig(**options))


def everything(source: Source) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*source.batches(7), strict=True)
    return torch.cat(images), torch.cat(labels)


def rows(source: Source) -> set[bytes]:
    return {image.numpy().tobytes() for image in everything(source)[0]}


# -- digits ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load()


def test_digits_splits_are_stratified_and_apart(digits: Splits) -> None:
    assert digits.sizes == {"train": 1149, "validation": 288, "test": 360}
    assert digits.train.shape == (1, 8, 8)
    assert digits.classes == list("0123456789")
    for source in (digits.train, digits.validation, digits.test):
        share = torch.bincount(source.labels).double() / len(source)
        assert (share - 0.1).abs().max() < 0.01
    from sklearn.datasets import load_digits

    raw = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    found = sorted(
        image.numpy().tobytes()
        for source in (digits.train, digits.validation, digits.test)
        for image in everything(source)[0]
    )
    assert found == sorted(image.tobytes() for image in raw)  # each image, once


def test_seed_moves_validation_and_never_test(digits: Splits) -> None:
    again, other = load(), load(seed=1)
    assert rows(again.validation) == rows(digits.validation) != rows(other.validation)
    assert torch.equal(everything(other.test)[0], everything(digits.test)[0])
    limited = load(train_limit=100)
    assert torch.equal(everything(limited.test)[0], everything(digits.test)[0])


def test_statistics_are_those_of_train(digits: Splits) -> None:
    images = everything(digits.train)[0].double() / 255
    assert digits.mean == pytest.approx([float(images.mean())])
    assert digits.std == pytest.approx([float(images.std(correction=0))])
    normal = digits.normalise(everything(digits.train)[0])
    assert abs(float(normal.mean())) < 1e-5
    assert float(normal.std()) == pytest.approx(1, abs=1e-3)
    said = json.loads(json.dumps(digits.preprocess))
    assert said == {
        **{"scale": 1 / 255, "mean": list(digits.mean), "std": list(digits.std)},
        **{"size": [8, 8], "channels": 1, "resize": False, "interpolation": "bilinear"},
    }
    assert json.loads(json.dumps(digits.description))["origin"]["validation"].startswith("20 %")


def test_limit_keeps_the_classes_even() -> None:
    data = load(train_limit=103, validation=0.25)
    assert data.sizes == {"train": 77, "validation": 26, "test": 360}
    counts = torch.bincount(torch.cat([data.train.labels, data.validation.labels]))
    assert counts.min() == 10
    assert counts.max() == 11
    assert load(train_limit=10**6).sizes["train"] == 1149


def test_a_registered_set_is_resized_and_converted() -> None:
    data = load(image_size=16, channels=3)
    assert data.train.shape == (3, 16, 16)
    images = everything(data.test)[0]
    assert torch.equal(images[:, 0], images[:, 2])


def test_a_set_can_be_registered() -> None:
    @register_dataset("stripes")
    def stripes(config: DataConfig) -> RawSplits:
        images = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(-1, 1, 4, 4)
        return RawSplits(TensorSource(images, torch.arange(40) % 2), ["even", "odd"])

    try:
        assert "stripes" in list_datasets()
        data = load(name="stripes", validation=0.25)
        assert data.sizes == {"train": 24, "validation": 8, "test": 8}
        assert not rows(data.train) & rows(data.test)
        with pytest.raises(ConfigError, match="registered already"):
            register_dataset("stripes")(stripes)
    finally:
        DATASETS.remove("stripes")


# -- files -----------------------------------------------------------------------------------------


def png(image: np.ndarray[Any, Any] | Image.Image, kind: str = "PNG") -> dict[str, Any]:
    file = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(file, kind)
    return {"bytes": file.getvalue(), "path": None}


def noise(n: int, height: int = 6, width: int = 6, seed: int = 0) -> np.ndarray[Any, Any]:
    random = np.random.RandomState(seed)
    return random.randint(0, 256, (n, height, width, 3)).astype(np.uint8)


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a parquet file as ``datasets`` does; its cache is in the test's folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def write(
        name: str,
        images: list[Any] | np.ndarray[Any, Any],
        labels: list[Any],
        feature: Any = None,
        **more: Any,
    ) -> Path:
        feature = feature or datasets.ClassLabel(names=["cat", "dog", "eel"])
        cells = [png(i) if isinstance(i, np.ndarray) else i for i in images]
        columns = {"img": cells, "label": labels, **{k: v for k, (v, _) in more.items()}}
        features = {"img": datasets.Image(), "label": feature}
        features |= {k: f for k, (_, f) in more.items()}
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file = datasets.Dataset.from_dict(columns, datasets.Features(features))
        from pyarrow import parquet

        parquet.write_table(file.data.table, path)
        return path

    return write


def test_a_parquet_file(write: Write) -> None:
    images = noise(40)
    path = write("train.parquet", images, [i % 3 for i in range(40)])
    data = load(name=str(path), validation=0.25)
    assert data.sizes == {"train": 24, "validation": 8, "test": 8}
    assert data.classes == ["cat", "dog", "eel"]
    assert "20 % of train" in data.description["origin"]["test"]
    pixels, labels = everything(data.test)
    known = {i.transpose(2, 0, 1).tobytes(): n % 3 for n, i in enumerate(images)}
    assert [known[p.numpy().tobytes()] for p in pixels] == labels.tolist()
    assert len(rows(data.train) | rows(data.validation) | rows(data.test)) == 40


def test_a_folder_of_shards_with_its_own_splits(write: Write) -> None:
    write("train-00000-of-00002.parquet", noise(6, seed=1), [0, 1, 2] * 2)
    write("train-00001-of-00002.parquet", noise(6, seed=2), [0, 1, 2] * 2)
    write("train-00002-of-00002.parquet", [], [])
    write("valid.parquet", noise(3, seed=3), [0, 1, 2])
    path = write("test.parquet", noise(4, seed=4), [0, 1, 2, 2])
    write("unsupervised.parquet", noise(2), [-1, -1])
    data = load(name=str(path.parent))
    assert data.sizes == {"train": 12, "validation": 3, "test": 4}
    assert data.test.labels.tolist() == [0, 1, 2, 2]
    assert data.description["origin"]["test"] == "the set's own test split"


def test_an_unlabelled_test_split_is_no_test_split(write: Write) -> None:
    path = write("train.parquet", noise(30), [0, 1, 2] * 10)
    write("test.parquet", noise(5), [-1] * 5)
    data = load(name=str(path.parent))
    assert data.sizes["test"] == 6
    assert "unlabelled" in data.description["origin"]["test"]


def test_a_folder_of_images(tmp_path: Path, write: Write) -> None:
    for split, count in (("train", 10), ("test", 2)):
        for c, name in enumerate(("ant", "bee")):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for i, image in enumerate(noise(count, seed=10 * count + c)):
                Image.fromarray(image).save(folder / f"{i}.png")
    data = load(name=str(tmp_path / "pictures"))
    assert data.sizes == {"train": 16, "validation": 4, "test": 4}
    assert data.classes == ["ant", "bee"]
    only = load(name=str(tmp_path / "pictures" / "train"))
    assert only.sizes == {"train": 12, "validation": 4, "test": 4}


def test_size_and_channels_are_converted_when_asked(write: Write) -> None:
    images = [*noise(10, 6, 6), *noise(10, 8, 5)]
    path = write("train.parquet", images, [0, 1] * 10)
    assert load(name=str(path), image_size=4, channels=1).train.shape == (1, 4, 4)


def test_grey_among_colour_and_palettes_are_fine(write: Write) -> None:
    odd = [png(Image.fromarray(noise(1)[0]).convert(mode)) for mode in ("L", "P", "RGBA", "1")]
    path = write("train.parquet", [*noise(16), *odd], [0, 1] * 10)
    assert load(name=str(path)).train.shape == (3, 6, 6)


def test_integer_labels_and_named_columns(write: Write) -> None:
    import datasets

    fine = ([i % 4 for i in range(20)], datasets.Value("int32"))
    path = write("train.parquet", noise(20), [0, 1] * 10, datasets.Value("int64"), fine=fine)
    assert load(name=str(path)).classes == ["0", "1"]
    assert load(name=str(path), label_column="fine").classes == ["0", "1", "2", "3"]
    assert load(name=str(path), image_column="img").classes == ["0", "1"]


def test_two_label_columns(write: Write) -> None:
    import datasets

    def some(n: int) -> tuple[list[int], Any]:
        return [i % n for i in range(20)], datasets.ClassLabel(num_classes=n)

    path = write("a.parquet", noise(20), [0] * 20, datasets.Value("string"), fine_label=some(5),
                 coarse_label=some(2))  # fmt: skip
    assert len(load(name=str(path)).classes) == 5
    path = write("b.parquet", noise(20), [0] * 20, datasets.Value("string"), shade=some(5),
                 hue=some(2))  # fmt: skip
    with pytest.raises(DataError, match=r"shade, hue.*data.label_column"):
        load(name=str(path))
    assert len(load(name=str(path), label_column="hue").classes) == 2


def test_images_larger_than_the_limit_are_streamed(write: Write) -> None:
    path = write("train.parquet", noise(60), [0, 1, 2] * 20)
    options = {"name": str(path), "train_limit": 30, "seed": 3}
    stream, tensors = load(**options, device_limit_mb=0), load(**options)
    assert isinstance(stream.train, StreamSource)
    assert isinstance(tensors.train, TensorSource)
    assert stream.description["storage"] == "files"
    assert (stream.mean, stream.std) == (tensors.mean, tensors.std)
    for split in ("train", "validation", "test"):
        a, b = getattr(stream.to("cpu"), split), getattr(tensors.to("cpu"), split)
        assert (len(a), a.shape) == (len(b), b.shape)
        order = torch.randperm(len(a))
        before = torch.get_rng_state()
        for pair, expected in zip(a.batches(4, order), b.batches(4, order), strict=True):
            assert torch.equal(pair[0], expected[0])
            assert torch.equal(pair[1], expected[1])
        assert torch.equal(before, torch.get_rng_state())
        assert all(torch.equal(x, y) for x, y in zip(everything(a), everything(b), strict=True))


def test_cifar10(shared_data: Path, write: Write) -> None:
    data = load(name=str(shared_data / "cifar10"), train_limit=500)
    assert data.sizes == {"train": 400, "validation": 100, "test": 10_000}
    assert data.train.shape == (3, 32, 32)
    assert torch.bincount(data.train.labels).tolist() == [40] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.03)
    assert data.test.labels[:4].tolist() == [3, 8, 8, 0]


def test_parquet_without_feature_metadata(write: Write, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    cells = [png(i) for i in noise(20)]
    table = pa.table({"image": [c["bytes"] for c in cells], "label": [0, 1] * 10})
    parquet.write_table(table, tmp_path / "plain.parquet")
    assert load(name=str(tmp_path / "plain.parquet")).train.shape == (3, 6, 6)
    parquet.write_table(pa.table({"image": cells, "label": [0, 1] * 10}), tmp_path / "s.parquet")
    assert load(name=str(tmp_path / "s.parquet")).train.shape == (3, 6, 6)


# -- bad input -------------------------------------------------------------------------------------


def test_a_plain_word_never_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", None)
    with pytest.raises(UnknownNameError, match=r"'digitz'; did you mean 'digits'\?"):
        load(name="digitz")


@pytest.mark.parametrize("name", ["no/such/set", "./nothing", "/nowhere/at/all", "x.parquet"])
def test_no_such_path(name: str) -> None:
    with pytest.raises(DataError, match=rf"no such file or folder: '{name}'.*digits"):
        load(name=name)


def test_a_path_with_a_typo(write: Write) -> None:
    path = write("train.parquet", noise(4), [0, 1, 2, 0])
    with pytest.raises(DataError, match=r"did you mean 'train.parquet'"):
        load(name=str(path.with_name("trian.parquet")))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionError("Couldn't reach"), "hub could not be reached.*digits"),
        (FileNotFoundError("x"), "cannot be read: FileNotFoundError: x"),
        (ValueError("BuilderConfig 'b' not found.\nAvailable"), "BuilderConfig 'b' not found.$"),
    ],
)
def test_the_hub_fails(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    import datasets

    def fails(path: str, config: str | None) -> None:
        assert (path, config) == ("some-one/set.v2", "b")
        assert datasets.are_progress_bars_disabled()
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fails)
    with pytest.raises(DataError, match=words) as caught:
        load(name="some-one/set.v2:b")
    assert caught.value.__suppress_context__
    assert not datasets.are_progress_bars_disabled()


def test_the_hub_has_no_such_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def fails(*_: Any) -> None:
        raise datasets.exceptions.DatasetNotFoundError("not there")

    monkeypatch.setattr(datasets, "load_dataset", fails)
    with pytest.raises(DataError, match="the hub has no such data set"):
        load(name="someone/something")


def test_missing_columns_are_listed(write: Write) -> None:
    name = str(write("train.parquet", noise(4), [0, 1, 2, 0]))
    columns = r"the columns are img \(Image\), label \(ClassLabel\)"
    with pytest.raises(DataError, match=rf"no image column 'imgs'; did you mean 'img'.*{columns}"):
        load(name=name, image_column="imgs")
    with pytest.raises(DataError, match=rf"no label column 'klass'.*{columns}"):
        load(name=name, label_column="klass")
    with pytest.raises(DataError, match="'label' holds ClassLabel, not images"):
        load(name=name, image_column="label")
    with pytest.raises(DataError, match="'img' holds Image; expected words, whole numbers"):
        load(name=name, label_column="img")
    with pytest.raises(ConfigError, match="'digits' has no columns"):
        load(label_column="label")


def test_no_column_or_several(write: Write, shared_data: Path) -> None:
    import datasets

    with pytest.raises(DataError, match=r"no column holds images.*sentence \(string\)"):
        load(name=str(shared_data / "sst2"))
    name = str(write("a.parquet", noise(3), [[1], [2], [3]], [datasets.Value("int8")]))
    with pytest.raises(DataError, match=r"no column holds labels.*label \(List\)"):
        load(name=name)
    second = ([png(i) for i in noise(3)], datasets.Image())
    name = str(write("b.parquet", noise(3), [0, 1, 2], other=second))
    with pytest.raises(DataError, match=r"several columns hold images \(img, other\)"):
        load(name=name)


def test_labels_that_are_missing(write: Write) -> None:
    import datasets

    name = str(write("train.parquet", noise(4), [0, 1, None, 2], datasets.Value("int64")))
    with pytest.raises(DataError, match=r"row 2 of train has no label in column 'label' \(1 of 4"):
        load(name=name)


def test_labels_beyond_the_names(write: Write) -> None:
    path = write("train.parquet", noise(6), [0, 1, -1, 2, 0, 1])
    with pytest.raises(DataError, match=r"train has a label -1; expected 0..2 \(3 named classes\)"):
        load(name=str(path))
    import datasets

    number = datasets.Value("int64")
    path = write("train.parquet", noise(6), [0, 1] * 3, number)
    write("test.parquet", noise(3), [0, 1, 7], number)
    with pytest.raises(DataError, match=r"classes only in test: 7 \(1 rows\)"):
        load(name=str(path.parent))


def test_empty_and_too_small_splits(write: Write) -> None:
    path = write("train.parquet", noise(4), [0, 1, 2, 0])
    empty = write("test.parquet", [], [])
    with pytest.raises(DataError, match="test split of .* is empty"):
        load(name=str(path.parent))
    empty.unlink()
    with pytest.raises(DataError, match="train_limit 2 is less than one image of each of the 3"):
        load(name=str(path), train_limit=2)
    path = write("train.parquet", noise(1), [0])
    with pytest.raises(DataError, match="train has 1 example, too few to split off test"):
        load(name=str(path))
    path.unlink()
    write("more.parquet", noise(1), [0])
    with pytest.raises(DataError, match=r"no train.parquet .* but more.parquet"):
        load(name=str(path.parent))


def test_a_set_without_train(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *_: {"test": [], "extra": []})
    with pytest.raises(DataError, match="a/b has no train split, but test, extra"):
        load(name="a/b")


def test_images_that_do_not_fit(write: Write) -> None:
    images = [*noise(9), noise(1, 7, 5)[0]]
    name = str(write("a.parquet", images, [0, 1] * 5))
    with pytest.raises(DataError, match=r"image 9 of train has 7 x 5 .* data.image_size, e.g. 6"):
        load(name=name)
    grey = [png(Image.fromarray(i).convert("L")) for i in noise(9)]
    name = str(write("b.parquet", [*grey, *noise(1)], [0, 1] * 5))
    with pytest.raises(DataError, match=r"image 9 of train is in colour .*data.channels 1 or 3"):
        load(name=name)
    deep = png(Image.fromarray(np.full((6, 6), 40_000, dtype=np.uint16)))
    name = str(write("c.parquet", [deep] * 10, [0, 1] * 5))
    with pytest.raises(DataError, match="image 0 of train has pixels of mode 'I;16'"):
        load(name=name)


def test_images_that_cannot_be_read(write: Write) -> None:
    whole = png(noise(1)[0])
    torn = {"bytes": whole["bytes"][:60], "path": None}
    name = str(write("a.parquet", [*[whole] * 9, torn], [0, 1] * 5))
    with pytest.raises(DataError, match="image 9 of train cannot be decoded"):
        load(name=name)
    name = str(write("b.parquet", [*[whole] * 9, None], [0, 1] * 5))
    with pytest.raises(DataError, match="image 9 of train is missing"):
        load(name=name)


def test_files_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    path = write("train.parquet", noise(4), [0, 1, 2, 0])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="train.parquet cannot be read as parquet") as caught:
        load(name=str(path))
    assert "\n" not in str(caught.value)
    text = tmp_path / "set.csv"
    text.write_text("label\n1\n")
    with pytest.raises(DataError, match="no .parquet file"):
        load(name=str(text))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="nothing is empty"):
        load(name=str(tmp_path / "nothing"))
    (tmp_path / "nothing" / "readme.txt").write_text("hello")
    with pytest.raises(DataError, match="nothing cannot be read .*; it holds readme.txt"):
        load(name=str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"validation": 0.0},
        {"validation": 1.0},
        {"channels": 2},
        {"train_limit": 0},
        {"image_size": 0},
        {"seed": -1},
        {"device_limit_mb": -1},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"data.{next(iter(options))}"):
        DataConfig(**options)


@pytest.mark.parametrize(
    ("key", "value", "tasks"),
    [
        ("channels", 1, {"image"}),
        ("vocabulary", 90, {"masked-lm", "causal-lm", "text-classification"}),
        ("length", 9, {"masked-lm", "causal-lm", "text-classification"}),
        ("label_column", "y", {"image", "text-classification"}),
        ("skip_broken", True, {"image", "text-classification"}),
        ("truncate", True, {"text-classification"}),
        ("masked", 0.2, {"masked-lm"}),
    ],
)
def test_settings_without_an_effect_are_refused(key: str, value: Any, tasks: set[str]) -> None:
    for task in ("image", "masked-lm", "causal-lm", "text-classification"):
        if task in tasks:
            assert getattr(DataConfig(task=task, **{key: value}), key) == value
            continue
        with pytest.raises(ConfigError, match=rf"data.{key} is for .*; data.task is '{task}'"):
            DataConfig(task=task, **{key: value})


def test_tensor_source_checks_what_it_gets() -> None:
    with pytest.raises(DataError, match=r"torch.float32 of shape \(2, 1, 4, 4\)"):
        TensorSource(torch.zeros(2, 1, 4, 4), torch.zeros(2).long())
    with pytest.raises(DataError, match="an integer for each of the 2 images"):
        TensorSource(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3).long())
    assert isinstance(load().train, Source)
    assert list(load().train.select(torch.tensor([], dtype=torch.int64)).batches(4)) == []
