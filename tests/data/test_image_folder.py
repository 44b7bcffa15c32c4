"""A folder of images: every file of every class exactly once, or a reason why not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autocompress.cli import main
from autocompress.data import DataConfig, Splits, load_data
from autocompress.data.describe import description_lines
from autocompress.errors import ConfigError, DataError

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes files in a set; every image is another one, its class in the first pixel's red."""
    random = np.random.RandomState(0)

    def make(*names: str, root: str = "set") -> Path:
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in (".txt", ".csv", ".md", ".db", ".heic", ".json"):
                path.write_text("no image")
            else:
                picture = Image.fromarray(random.randint(0, 256, (5, 5, 3)).astype(np.uint8))
                picture.save(path, "PNG")
        return tmp_path / root

    return make


def files(folder: str, count: int, prefix: str = "", suffix: str = ".png") -> list[str]:
    return [f"{folder}/{prefix}{i}{suffix}" for i in range(count)]


def load(path: Path, **options: Any) -> Splits:
    return load_data(DataConfig(name=str(path), **options))


def seen(data: Splits) -> dict[str, Counter[tuple[str, bytes]]]:
    """Class and pixels of every image that a split hands out."""
    return {
        split: Counter(
            (data.classes[int(label)], image.numpy().tobytes())
            for images, labels in getattr(data, split).batches(7)
            for image, label in zip(images, labels, strict=True)
        )
        for split in data.sizes
    }


def stored(root: Path) -> Counter[tuple[str, bytes]]:
    """The same of the files: (name of the folder below the root, pixels)."""
    found: Counter[tuple[str, bytes]] = Counter()
    for path in root.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            pixels = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
            found[path.relative_to(root).parts[0], pixels.tobytes()] += 1
    return found


def is_whole(data: Splits, root: Path) -> None:
    """Every file once, under its class, and no image in two splits."""
    parts = seen(data)
    assert sum(parts.values(), Counter()) == stored(root)
    images = [{pixels for _, pixels in part} for part in parts.values()]
    assert not images[0] & images[1] | images[0] & images[2] | images[1] & images[2]


# -- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classes",
    [
        ("control", "test"),
        ("boat", "train", "tram"),
        ("dev", "ops"),
        ("matching", "validation", "voting"),
        ("test_rig", "train_yard", "valley"),
        ("training", "match"),
    ],
    ids=" ".join,
)
def test_classes_may_have_the_names_of_splits(tree: Tree, classes: tuple[str, ...]) -> None:
    words = ["eval-1.png", "my_test_2.png", "train.png", "dev0.png", "validation-3.png"]
    root = tree(*(f"{name}/{word}" for name in classes for word in words), *(
        file for name in classes for file in files(name, 9)
    ))  # fmt: skip
    data = load(root)
    assert data.classes == sorted(classes)
    is_whole(data, root)
    assert data.description["origin"]["test"].startswith("20 %")


def test_names_suffixes_and_what_systems_leave(tree: Tree) -> None:
    root = tree(
        *files("a", 6, "IMG ", ".PNG"), *files("a", 3, "new", ".JpG"), *files("b", 8, "ü", ".webp"),
        "b/without_suffix", "b/picture.jpg_large", "b/.hidden.png", "a/._IMG 0.PNG", "a/Thumbs.db",
        "__MACOSX/a/x.png", ".cache/y.png", "@eaDir/z.png", "a/notes.txt", "labels.csv",
    )  # fmt: skip
    data = load(root)
    assert data.classes == ["a", "b"]
    assert sum(data.sizes.values()) == 9 + 8 + 2
    (remark,) = data.description["remarks"]
    assert remark == "2 files left out, no images: labels.csv, a/notes.txt"


def test_images_below_a_class_are_of_the_class(tree: Tree) -> None:
    root = tree(
        *files("oak/2019/may", 5), *files("oak/2020", 4), *files("oak", 2), *files("elm/x", 7)
    )
    data = load(root)
    assert data.classes == ["elm", "oak"]
    is_whole(data, root)


def test_links_are_followed_but_not_round_in_circles(tree: Tree, tmp_path: Path) -> None:
    root = tree(*files("a", 6))
    elsewhere = tree(*files("there", 6), root="elsewhere")
    (root / "b").symlink_to(elsewhere / "there", target_is_directory=True)
    (root / "a" / "one more.png").symlink_to(tree("x.png", root="single") / "x.png")
    data = load(root)
    assert data.classes == ["a", "b"]
    assert sum(data.sizes.values()) == 13
    (root / "a" / "again").symlink_to(root, target_is_directory=True)
    with pytest.raises(DataError, match="again is a link back to a folder that holds it"):
        load(root)
    (root / "a" / "again").unlink()
    (root / "b").unlink()
    (root / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"gone.png is a link to nothing"):
        load(root)


def test_what_is_no_file_is_not_opened(tree: Tree) -> None:
    root = tree(*files("a", 4), *files("b", 4))
    os.mkfifo(root / "b" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe.png is neither a file nor a folder"):
        load(root)


# -- splits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "VALID", "Test"),
        ("training", "dev", "testing"),
        ("train", "validation", "test"),
    ],
    ids=" ".join,
)
def test_splits_are_the_outermost_folders(tree: Tree, names: tuple[str, ...]) -> None:
    classes = ("test", "train", "tern")
    for split, count in zip(names, (7, 3, 2), strict=True):
        tree(*(file for name in classes for file in files(f"{split}/{name}", count, "train_")))
    root = tree("readme.md")
    (root / "docs").mkdir()
    data = load(root)
    assert data.sizes == {"train": 21, "validation": 9, "test": 6}
    assert data.classes == sorted(classes)
    for split, part in zip(names, seen(data).values(), strict=True):
        assert part == stored(root / split)
    assert data.description["remarks"] == [
        "1 file left out, no images: readme.md", "left out, with no image: docs/"
    ]  # fmt: skip


def test_two_splits_and_one(tree: Tree) -> None:
    root = tree(
        *files("train/a", 10), *files("train/b", 10), *files("val/a", 4), *files("val/b", 4)
    )
    data = load(root)
    assert data.sizes == {"train": 16, "validation": 8, "test": 4}
    assert seen(data)["validation"] == stored(root / "val")
    only = tree(*files("train/a", 10), *files("train/b", 10), root="only")
    is_whole(load(only), only / "train")


# -- what is refused -------------------------------------------------------------------------------

_AMBIGUOUS = {
    "images in no class": (files("train", 4) + files("test", 4), "test/, train/ are in no class"),
    "a test set without labels": (
        files("train/a", 4) + files("train/b", 4) + files("test", 4),
        r"test/ are in no class folder; train/ has them.*move it out",
    ),
    "splits beside classes": (
        files("train/a", 4) + files("train/b", 4) + files("extra", 4),
        r"train/ holds folders of images, as a split does, beside extra/",
    ),
    "a split inside its classes": (
        files("a", 4) + files("b", 4) + files("test/a", 4) + files("test/b", 4),
        r"test/ holds folders of images, as a split does, beside a/, b/",
    ),
    "classes outside, splits inside": (
        files("a/train", 4) + files("a/test", 4) + files("b/train", 4) + files("b/test", 4),
        r"a/ holds test/, train/.*Splits are outermost \(.*/test/a\)",
    ),
    "splits by other names": (
        files("train_images/a", 4) + files("test_images/b", 4),
        r"test_images/, train_images/ look like splits.*call them train and test",
    ),
    "splits of a year": (files("train2017", 4) + files("val2017", 4), "look like splits"),
    "two names of splits beside another": (
        files("train", 4) + files("test", 4) + files("more", 4), "look like splits"
    ),
    "two names for one": (
        [f for s in ("train", "val", "valid") for c in "ab" for f in files(f"{s}/{c}", 3)],
        "two folders for validation: val/, valid/",
    ),
    "no train": (files("test/a", 3) + files("test/b", 3), "has no train split, but test/"),
    "no classes": ([f"{i}.png" for i in range(5)], r"its 5 images \(0.png, .* are in no class"),
    "strays": ([*files("a", 3), *files("b", 3), "x.png"], r"1 image \(x.png\) lie beside"),
    "strays in a split": (
        [f for s in ("train", "test") for c in "ab" for f in files(f"{s}/{c}", 3)]
        + files("train", 2, "stray"),
        r"train/ are in no class folder|2 images \(stray0.png, stray1.png\) lie beside",
    ),
    "one class": (files("a", 6), "one class, 'a'; at least two"),
    "a folder around all": (
        files("pets/cat", 4) + files("pets/dog", 4), r"one class, 'pets'.*name .*/pets$"
    ),
    "a class of train only": (
        [f for s in ("train", "test") for c in "ab" for f in files(f"{s}/{c}", 3)]
        + files("train/rare", 3),
        "classes only in train: rare. Every class needs",
    ),
    "a class by two names": (
        files("train/Cat", 3) + files("train/dog", 3) + files("test/cat", 3) + files("test/dog", 3),
        "classes only in train: Cat; only in test: cat",
    ),
    "a class that train lacks": (
        [f for s in ("train", "val", "test") for c in "ab" for f in files(f"{s}/{c}", 3)]
        + files("val/new", 1) + files("test/new", 1, "t"),
        "classes not in train: new",
    ),
    "a class with nothing": ([*files("a", 3), *files("b", 3), "c/notes.txt"],
        r"c/ holds no image.*\(it has notes.txt, no image\)"),
    "pictures that are not supported": (
        [*files("a", 3), *files("b", 3), "b/IMG_1.HEIC", "b/x.heic"],
        r"2 pictures of kinds that are not supported: b/IMG_1.HEIC, b/x.heic",
    ),
    "nothing": (["a/notes.txt"], "cannot be read as a data set; it holds notes.txt"),
}  # fmt: skip


@pytest.mark.parametrize(("names", "words"), _AMBIGUOUS.values(), ids=_AMBIGUOUS)
def test_what_can_be_meant_in_two_ways_is_refused(tree: Tree, names: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(tree(*names))


def test_a_class_called_train_can_always_be_said(tree: Tree) -> None:
    root = tree(*files("train/train", 8), *files("train/test", 8))
    assert load(root).classes == ["test", "train"]


def test_empty_folders(tree: Tree) -> None:
    root = tree(*files("a", 3), *files("b", 3))
    (root / "c").mkdir()
    with pytest.raises(DataError, match=r"c/ holds no image, so there is nothing to learn"):
        load(root)
    root = tree(*files("train/a", 3), *files("train/b", 3), root="split")
    (root / "test").mkdir()
    with pytest.raises(DataError, match=r"the test split of .* is empty: test/ has no image"):
        load(root)


def test_options_of_tables(tree: Tree) -> None:
    with pytest.raises(ConfigError, match=r"label_column .* folder of images, whose folders"):
        load(tree(*files("a", 3), *files("b", 3)), label_column="label")


def test_a_table_and_classes_in_one_folder(tree: Tree) -> None:
    root = tree(*files("a", 3), *files("b", 3))
    (root / "train.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"train.parquet and images in folders \(a, b\): two"):
        load(root)


# -- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_same_file_in_two_splits_is_refused(tree: Tree, split: str) -> None:
    splits = ("train", "val", "test")
    root = tree(*(f for s in splits for c in "ab" for f in files(f"{s}/{c}", 4)))
    other = root / split / "b" / "under another name.png"
    other.write_bytes((root / "train" / "a" / "2.png").read_bytes())
    names = rf"{split}/b/under another name.png = train/a/2.png"
    role = {"val": "validation"}.get(split, split)
    with pytest.raises(DataError, match=rf"1 of 9 files of {role} are also in train.*\({names}\)"):
        load(root)


def test_copies_in_one_split_stay_on_one_side(tree: Tree) -> None:
    root = tree(*files("a", 20), *files("b", 20))
    for i in range(20):
        for folder in "ab":
            content = (root / folder / f"{i}.png").read_bytes()
            (root / folder / f"copy of {i}.png").write_bytes(content)
    for seed in range(3):
        data = load(root, seed=seed)
        is_whole(data, root)
        assert all(set(part.values()) == {2} for part in seen(data).values())
        assert data.sizes == {"train": 50, "validation": 14, "test": 16}
    limited = load(root, train_limit=30)
    parts = [{pixels for _, pixels in part} for part in seen(limited).values()]
    assert not parts[0] & parts[1]


def test_one_picture_in_two_classes_is_said(tree: Tree) -> None:
    root = tree(*files("a", 8), *files("b", 8))
    (root / "b" / "9.png").write_bytes((root / "a" / "3.png").read_bytes())
    (remark,) = load(root).description["remarks"]
    assert "1 images of train have two classes" in remark
    assert "b/9.png = a/3.png" in remark


# -- what is said ----------------------------------------------------------------------------------


def test_classes_and_counts_are_listed(tree: Tree) -> None:
    root = tree(*files("train/a", 10), *files("train/bb", 5), *files("test/a", 2),
                *files("test/bb", 3), "x.txt")  # fmt: skip
    data = load(root)
    assert data.description["examples"] == {
        "a": {"train": 8, "validation": 2, "test": 2},
        "bb": {"train": 4, "validation": 1, "test": 3},
    }
    lines = description_lines(data)
    assert lines[0] == f"data: {root}: train 12, validation 3, test 5; 2 classes"
    assert [line.split() for line in lines[1:4]] == [
        ["class", "train", "validation", "test"], ["a", "8", "2", "2"], ["bb", "4", "1", "3"]
    ]  # fmt: skip
    assert "validation: 20 % of train, stratified, seed 0" in lines
    assert lines[-1] == "note: 1 file left out, no images: x.txt"


def test_a_broken_file_is_named(tree: Tree) -> None:
    root = tree(*files("a", 8), *files("b", 8))
    file = root / "b" / "3.png"
    file.write_bytes(file.read_bytes()[:70])
    with pytest.raises(DataError, match=r"image 11 of train \(.*b/3.png\) cannot be decoded"):
        load(root)


def test_the_same_order_everywhere(tree: Tree) -> None:
    root = tree(*files("a", 12), *files("b", 12))
    first, second = load(root), load(root, device_limit_mb=0)
    for one, other in zip(first.train.batches(5), second.train.batches(5), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_the_command_lists_classes_before_it_trains_and_refuses_in_one_line(
    tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree(*files("left", 12), *files("train", 12))
    words = ["train", "--data.name", str(root), "--model.name", "mlp", "--model.depth", "1"]
    words += ["--model.width", "8", "--fit.epochs", "1", "--fit.batch_size", "4"]
    words += ["--fit.warmup_epochs", "0", "--output"]
    assert main([*words, str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "train 15, validation 4, test 5; 2 classes" in out
    assert out.index("left ") < out.index("trained: ")
    for split in ("train", "test"):
        for name in "ab":
            tree(*files(f"{split}/{name}", 3), root="other")
    content = (tmp_path / "other" / "train" / "a" / "0.png").read_bytes()
    (tmp_path / "other" / "test" / "b" / "9.png").write_bytes(content)
    words[2] = str(tmp_path / "other")
    assert main([*words, str(tmp_path / "none")]) == 2
    assert "test/b/9.png = train/a/0.png" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_class_of_copies_is_divided_by_file_and_said_to_be_one(tmp_path: Path) -> None:
    for name, levels in (("a", [60]), ("b", [200]), ("c", range(9))):
        (tmp_path / name).mkdir()
        for number in range(9):
            image = Image.new("L", (8, 8), levels[number % len(levels)])
            image.save(tmp_path / name / f"{number}.png")
            image.save(tmp_path / name / f"again {number}.png")
    data = load(tmp_path)
    assert sum(data.sizes.values()) == 54
    remarks = data.description["remarks"]
    assert [r.split(":")[0] for r in remarks if "different" in r] == [
        "class 'a' has 1 different image in 18 files",
        "class 'b' has 1 different image in 18 files",
    ]
    pixels = [{p for label, p in part if label == 2} for part in seen(data).values()]
    assert not pixels[0] & pixels[1]
    assert not pixels[0] & pixels[2]


def test_a_class_of_copies_that_is_not_divided_needs_no_remark(tmp_path: Path) -> None:
    for split, shift in (("train", 0), ("val", 1), ("test", 2)):
        for name, level in (("a", 60), ("b", 200)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("L", (8, 8), level + shift).save(folder / f"{number}.png")
    assert load(tmp_path).description["remarks"] == []
