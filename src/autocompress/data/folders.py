"""A folder of images or texts by class: find its files, and the split and class of each.

Only the outermost folders can be splits (``train``, ``validation``, ``test`` and their usual other
names), and only if their own folders are the classes. Every other folder is a class, whatever its
name, with all the examples below it. Ambiguous layouts are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autocompress.data.files import TEXTS, Folder, Kind, scan
from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = ["SPLITS", "ClassFolder", "class_folder", "role_of", "split_word"]

#: Usual names of the splits.
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_OTHER_WORDS = ("eval", "evaluation", "holdout", "heldout")
_WORDS = (*(word for words in SPLITS.values() for word in words), *_OTHER_WORDS)
_WORD = re.compile(rf"(?<![a-z])({'|'.join(sorted(_WORDS, key=len, reverse=True))})(?![a-z])")


@dataclass(frozen=True)
class ClassFolder:
    """The examples of a folder.

    Args:
        classes: Class names, sorted.
        splits: Files and their class numbers for each split under our names, train first.
        left_out: Descriptions of what is in the folder and is no example.
    """

    classes: list[str]
    splits: dict[str, list[tuple[Path, int]]]
    left_out: list[str]


def role_of(name: str) -> str | None:
    """Return the split that the name of a folder or a file stands for, or None."""
    return next((role for role, names in SPLITS.items() if name.lower() in names), None)


def split_word(name: str) -> str | None:
    """Return the word in a name that splits are called by, such as train; None without one.

    Example:
        >>> split_word("extra-train"), split_word("eval"), split_word("trains")
        ('train', 'eval', None)
    """
    found = _WORD.search(name.lower())
    return found[0] if found else None


def class_folder(root: Path, name: str, kind: Kind) -> ClassFolder:
    """Return every example below a folder, once, by split and class.

    Args:
        root: The folder.
        name: Name that the user gave, for messages.
        kind: Kind of the examples.

    Raises:
        DataError: There are no examples, the layout is ambiguous, examples are outside a class, a
            class has no examples or is in one split only, there are fewer than two classes, files
            are not regular, or examples have an unsupported format.
    """
    top = scan(root, kind)
    if top.count == 0:
        raise DataError(_nothing(top, name))
    if kind is not TEXTS:  # a text beside splits may be a README.txt
        _check_inside(top, name)
    by_role = _splits(top, name)
    notes = [top] if by_role else []
    if not by_role:
        _check_inside(top, name)
        by_role = {"train": top}
        _check_no_splits(top, name)
    classes = _classes(by_role, name)
    numbers = {label: number for number, label in enumerate(classes)}
    splits = {
        role: [
            (file, numbers[label])
            for label, folder in sorted(split.folders.items())
            for file in folder.all_examples()
        ]
        for role, split in by_role.items()
    }
    return ClassFolder(classes, splits, _left_out(top, notes))


def _nothing(top: Folder, name: str) -> str:
    others = [file.name for file in top.all_others()]
    if not others and not top.folders:
        return f"the folder {name} is empty"
    holds = f"; it holds {some(others)}" if others else ""
    return (
        f"the folder {name} cannot be read as a data set{holds}; expected {top.kind.noun}s in a "
        "folder for each class, or train*.parquet"
    )


# -- splits ----------------------------------------------------------------------------------------


def _splits(top: Folder, name: str) -> dict[str, Folder]:
    """Return the outermost folders as splits, train first; empty if they are classes."""
    named = {label: folder for label, folder in top.folders.items() if role_of(label)}
    filled = {label: folder for label, folder in named.items() if folder.count}
    rest = [n for n, f in top.folders.items() if f.count and n not in named]
    of_classes = [label for label, folder in filled.items() if not folder.examples]
    flat = [label for label in filled if label not in of_classes]
    if rest and of_classes:
        raise DataError(
            f"{name}: {_folders(of_classes)} holds folders of {top.kind.noun}s, as a split does, "
            f"beside {_folders(rest)}. If it is a split, move the others out of {name}; if it is a "
            f"class, put its {top.kind.noun}s directly into it"
        )
    if rest or not filled:
        return {}
    for label in flat:
        if any(inner.count for inner in filled[label].folders.values()):
            _check_inside(filled[label], f"{name}/{label}")
    if flat:
        kept = f"; {_folders(of_classes)} has them" if of_classes else ""
        raise DataError(
            f"{name}: the {top.kind.noun}s of {_folders(flat)} are in no class folder{kept}. If it "
            f"is a split, make a folder for each class in it ({flat[0]}/CLASS/*{top.kind.suffix}), "
            f"or move it out of {name} if its classes are unknown; if it is a class, say so by a "
            f"split around it: {name}/train/{flat[0]}"
        )
    by_role: dict[str, Folder] = {}
    for role in SPLITS:
        same = [label for label in named if role_of(label) == role]
        if len(same) > 1:
            raise DataError(f"{name} has two folders for {role}: {_folders(same)}; keep one")
        if same and same[0] not in filled:
            raise DataError(
                f"the {role} split of {name} is empty: {_folders(same)} has no {top.kind.noun}"
            )
        if same:
            by_role[role] = named[same[0]]
    if "train" not in by_role:
        raise DataError(f"{name} has no train split, but {_folders(list(filled))}")
    for label, folder in filled.items():
        _check_inside(folder, f"{name}/{label}")
    return by_role


def _check_no_splits(top: Folder, name: str) -> None:
    """Raise DataError for classes that look like splits by other names: train_set and test_set."""
    seen: dict[str, tuple[str, str]] = {}
    for label in top.folders:
        found = split_word(label)
        if found is None:
            continue
        rest = label.lower().replace(found, "", 1)
        word, other = seen.setdefault(rest, (found, label))
        if word != found:
            raise DataError(
                f"{name}: {_folders([other, label])} look like splits of one set. If they are, "
                "call them train and test; if they are classes, say so by a split around all "
                f"classes: {name}/train/{label}"
            )


def _check_inside(folder: Folder, name: str) -> None:
    """Raise DataError for examples beside the folders of classes, or without such folders."""
    if not folder.examples:
        return
    several = "" if len(folder.examples) == 1 else "s"
    what = f"{len(folder.examples)} {folder.kind.noun}{several}"
    lie = some([file.name for file in folder.examples])
    if not any(inner.count for inner in folder.folders.values()):
        raise DataError(
            f"{name}: its {what} ({lie}) are in no class folder; make a folder "
            f"for each class, {name}/CLASS/*{folder.kind.suffix}"
        )
    raise DataError(
        f"{name}: {what} ({lie}) lie beside the class folders, in none of them; move each into the "
        "folder of its class, or out of the set"
    )


# -- classes ---------------------------------------------------------------------------------------


def _classes(by_role: Mapping[str, Folder], name: str) -> list[str]:
    """Return the names of the classes, which are the same in every split."""
    where = {role: name if len(by_role) == 1 else f"{name}/{f.name}" for role, f in by_role.items()}
    for role, split in by_role.items():
        empty = [label for label, folder in split.folders.items() if not folder.count]
        if empty:
            raise DataError(
                f"{where[role]}: {_folders(empty)} holds no {split.kind.noun}, so there is nothing "
                f"to learn the class from{_instead(split, empty)}; put {split.kind.noun}s there or "
                "remove it"
            )
        for label, folder in split.folders.items():
            inner = [n for n, f in folder.folders.items() if f.count and role_of(n)]
            if inner:
                raise DataError(
                    f"{where[role]}: the class folder {label}/ holds {_folders(inner)}, which "
                    "looks like a split inside a class. Splits are outermost "
                    f"({name}/{inner[0]}/{label}); if it is none, move its {split.kind.noun}s up "
                    f"into {label}/"
                )
    found = {role: set(split.folders) for role, split in by_role.items()}
    if len(found) > 1:
        lonely = {role: own.difference(*_others(found, role)) for role, own in found.items()}
        if any(lonely.values()) or any(own - found["train"] for own in found.values()):
            raise DataError(f"{name}: {_lonely(lonely, found)}")
    classes = sorted(found["train"])
    if len(classes) < 2:
        only = by_role["train"].folders[classes[0]]
        deeper = f"; if the classes are the folders in it, name {name}/{classes[0]}"
        raise DataError(
            f"{name} has one class, {classes[0]!r}; at least two are needed"
            f"{deeper if only.folders and not only.examples else ''}"
        )
    return classes


def _others(found: Mapping[str, set[str]], role: str) -> Iterator[set[str]]:
    return (own for other, own in found.items() if other != role)


def _lonely(lonely: Mapping[str, set[str]], found: Mapping[str, set[str]]) -> str:
    """Return a message about classes that are in one split only, with advice."""
    lists = [f"only in {role}: {some(sorted(labels))}" for role, labels in lonely.items() if labels]
    strange = sorted(set().union(*found.values()) - found["train"])
    lists = lists or [f"not in train: {some(strange)}"]
    return (
        f"classes {'; '.join(lists)}. Every class needs examples in train and in what it is judged "
        "by: add them, give the same class the same name everywhere, or remove the class"
    )


def _instead(split: Folder, empty: list[str]) -> str:
    files = [file.name for label in empty for file in split.folders[label].all_others()]
    return f" (it has {some(files)}, no {split.kind.noun})" if files else ""


def _folders(names: list[str]) -> str:
    return some([f"{name}/" for name in names])


def _left_out(top: Folder, splits: list[Folder]) -> list[str]:
    """Describe the files that are no examples, and folders beside the splits without examples."""
    files = [str(file.relative_to(top.path)) for file in top.all_others()]
    beside = [n for split in splits for n, f in split.folders.items() if not f.count]
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    said = [f"{count} left out, no {top.kind.noun}s: {some(files)}"] if files else []
    if splits and top.examples:
        said.append(f"left out, in no split: {some([file.name for file in top.examples])}")
    return said + ([f"left out, with no {top.kind.noun}: {_folders(beside)}"] if beside else [])
