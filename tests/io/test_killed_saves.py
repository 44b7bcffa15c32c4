"""A save that is killed: one whole folder under its name, and nothing that stays for ever."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.io import atomic_dir, atomic_file, is_temporary, remove_leftovers
from autocompress.io.swap import exchange
from autocompress.io.temporary import temporary_name
from models_table import make

#: Saves a network over each folder of argv, in a child that dies at the call that it is named for.
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
import autocompress as ac
from autocompress.io import atomic
from models_table import make
places = {{"os": os, "Path": Path, "atomic": atomic, "shutil": atomic.shutil}}
net = make("mlp", "acn").cut(3)

def save_and_die(folder, module, name, count):
    place, left = places[module], [int(count)]
    original = getattr(place, name)
    def dying(*arguments, **options):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(place, name, dying)
    ac.save(net, folder, overwrite=True)

for folder in sys.argv[1:]:
    child = os.fork()
    if not child:
        if Path(folder).parts[-3] == "two-step":
            atomic.exchange = lambda *_: False
        save_and_die(folder, *Path(folder).parent.name.split("-"))
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""

MOMENTS = [
    *(f"os-fsync-{count}" for count in (1, 2, 3, 4)),
    *(f"os-replace-{count}" for count in (1, 2)),
    *(f"Path-rename-{count}" for count in (1, 2)),
    "atomic-exchange-1",
    "shutil-rmtree-1",
]


def test_killed_anywhere_one_whole_network_stays(tmp_path: Path) -> None:
    """Both where folders are exchanged in one step and where that takes two renamings."""
    ways = ("exchange", "two-step")
    folders = [tmp_path / way / moment / "net.v1" for way in ways for moment in MOMENTS]
    for folder in folders:
        ac.save(make("mlp", "acn").cut(2), folder)
    code = KILLED.format(path=[*sys.path, str(Path(__file__).parents[1])])
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    deaths = done.stdout.split().count("9")
    assert deaths == 2 * len(MOMENTS) - 2, done.stderr  # an exchange renames no folder
    for folder in folders:
        if "exchange" in folder.parts:
            assert (folder / "config.json").is_file(), folder  # before anything restores it
        assert ac.load(folder).depth in (2, 3), folder
        ac.save(make("mlp", "acn").cut(1), folder, overwrite=True)
        assert ac.load(folder).depth == 1
        assert [path.name for path in folder.parent.iterdir()] == ["net.v1"], folder


def test_exchange_swaps_folders_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("no exchange on this file system")
    assert (tmp_path / "a" / "b").exists()
    assert (tmp_path / "b" / "a").exists()
    assert not exchange(tmp_path / "a", tmp_path / "nothing")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    mine = temporary_name(tmp_path / "model.onnx")
    dead = Path(str(mine).replace(f"-{os.getpid()}-", f"-{dead_pid()}-"))
    other = Path(str(dead).replace("model", "other"))
    far = dead.with_name(dead.name.replace(dead.name.split(".")[2][:5], "zzzz-".replace("z", "0")))
    for path in (mine, dead, other, far, tmp_path / ".tmp", tmp_path / ".model.tmp.onnx"):
        path.touch()
    assert is_temporary(mine)
    assert not is_temporary(tmp_path / ".model.tmp.onnx")
    with atomic_file(tmp_path / "model.onnx") as new:
        new.touch()
    assert mine.exists()
    assert other.exists()
    assert far.exists()
    assert not dead.exists()
    assert remove_leftovers(tmp_path) == [other]
    week = time.time() - 8 * 24 * 3600
    os.utime(far, (week, week))
    assert remove_leftovers(tmp_path) == [far]
    assert (tmp_path / ".tmp").exists()


def test_a_folder_of_leftovers_goes_whole(tmp_path: Path) -> None:
    name = temporary_name(tmp_path / "net").name.replace(f"-{os.getpid()}-", f"-{dead_pid()}-")
    (tmp_path / name / "sub").mkdir(parents=True)
    (tmp_path / name / "sub" / "file").touch()
    with atomic_dir(tmp_path / "net") as new:
        (new / "a").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_all_files_have_the_mode_of_new_files(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        net = make("encoder", "acn")
        net.tokenizer = "{}"
        ac.save(net, tmp_path / "net")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "net").iterdir()}
    assert modes == {0o666 & ~mask}
