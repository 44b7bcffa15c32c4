"""All or nothing: what is on the disk after every way in which writing can end."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocompress.errors import OutputError
from autocompress.io import atomic_dir, atomic_file, write_json


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
    with atomic_file(path) as temporary:
        temporary.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert tree(tmp_path) == ["new", "new/a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_everything_as_it_was(
    tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "kept.txt").write_text("old")

    def write_half(file: Path) -> None:
        file.write_text("half")
        raise error

    with pytest.raises(error), atomic_file(tmp_path / "kept.txt") as temporary:
        write_half(temporary)
    with pytest.raises(error), atomic_file(tmp_path / "x" / "y" / "new.txt") as temporary:
        write_half(temporary)
    with pytest.raises(error), atomic_dir(tmp_path / "z" / "net") as temporary:
        write_half(temporary / "a")
    assert tree(tmp_path) == ["kept.txt"]
    assert (tmp_path / "kept.txt").read_text() == "old"


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_dir(tmp_path / "net") as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a").write_text("1")
        assert not (tmp_path / "net").exists()
    assert tree(tmp_path) == ["net", "net/sub", "net/sub/a"]
    assert oct((tmp_path / "net").stat().st_mode) == oct((tmp_path / "net/sub").stat().st_mode)


def test_an_existing_folder_is_replaced_only_on_request(tmp_path: Path) -> None:
    net = tmp_path / "net"
    for content in ("old", "new"):
        with atomic_dir(net, overwrite=True) as temporary:
            (temporary / content).write_text(content)
    assert tree(tmp_path) == ["net", "net/new"]
    with pytest.raises(OutputError, match=r"not empty.*overwrite=True"), atomic_dir(net):
        pytest.fail("the body must not run")
    with pytest.raises(ZeroDivisionError), atomic_dir(net, overwrite=True):
        raise ZeroDivisionError
    assert tree(tmp_path) == ["net", "net/new"]


def test_an_empty_folder_may_be_filled_and_a_file_may_not(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with atomic_dir(tmp_path / "net") as temporary:
        (temporary / "a").write_text("1")
    assert tree(tmp_path) == ["net", "net/a"]
    file = tmp_path / "net" / "a"
    with pytest.raises(OutputError, match="not a folder"), atomic_dir(file, overwrite=True):
        pytest.fail("the body must not run")
    with pytest.raises(OutputError, match="cannot write"), atomic_dir(file / "below"):
        pytest.fail("the body must not run")


def test_the_old_folder_survives_a_failed_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with atomic_dir(tmp_path / "net") as temporary:
        (temporary / "old").write_text("1")
    rename, calls = Path.rename, []
    monkeypatch.setattr("autocompress.io.atomic.exchange", lambda *_: False)

    def second_fails(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "disk on fire")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with (
        pytest.raises(OutputError, match="disk on fire"),
        atomic_dir(tmp_path / "net", overwrite=True) as temporary,
    ):
        (temporary / "new").write_text("2")
    assert tree(tmp_path) == ["net", "net/old"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no space left on the device"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
    ],
)
def test_the_systems_errors_say_what_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    where = tmp_path / "deep" / "net"
    with pytest.raises(OutputError, match=words) as caught, atomic_dir(where) as temporary:
        write_json(temporary / "config.json", {})
    assert str(where / "config.json") in str(caught.value)  # the name it would have had
    assert "nothing was written" in str(caught.value)
    assert tree(tmp_path) == []


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    NUMBERS | st.text() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(value=TREES, rows=st.lists(st.lists(NUMBERS, min_size=1, max_size=5), max_size=3))
def test_json_is_what_it_was_and_rows_of_numbers_are_lines(
    value: object, rows: list[object]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        write_json(path, {"value": value, "rows": rows})
        text = path.read_text()
    assert json.loads(text) == {"value": value, "rows": rows}
    assert all(json.dumps(row) in text for row in rows)


def test_json_is_sorted_and_strict(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [0.1]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [0.1],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [0.1], "b": 1}
    assert tree(tmp_path) == ["a.json"]
