"""Commands in child processes that are forked where the library is imported already."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as tests import one another

import autocompress.cli

__all__ = ["Ended", "import_noted", "note_imports", "run"]


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status; minus the signal that killed it.
        said: what it wrote to both outputs.
        seconds: that it took.
    """

    status: int
    said: str
    seconds: float


def run(
    words: list[str],
    log: Path,
    *,
    before: Callable[[], None] | None = None,
    after: Callable[[], None] | None = None,
    limit: float = 300.0,
) -> Ended:
    """Run ``acn`` with ``words`` in a child.

    Args:
        words: without ``acn``.
        log: file for what it says.
        before: called in the child first, e.g. to set a trap.
        after: called in the child last.
        limit: seconds after which it hangs.

    Raises:
        TimeoutError: it hangs.
    """
    start = time.monotonic()
    child = os.fork()
    if not child:
        _be_the_command(words, log, before, after)
    status = None
    while status is None:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        elif time.monotonic() > start + limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"acn {' '.join(words)} took more than {limit} seconds")
        else:
            time.sleep(0.002)
    said = log.read_text(errors="replace") if log.exists() else ""
    return Ended(status, said, time.monotonic() - start)


def note_imports(names: Path) -> None:
    """Write what this process has imported; for a child, of which :func:`import_noted` learns."""
    names.write_text("\n".join(sorted(sys.modules)))


def import_noted(names: Path) -> None:
    """Import what a command has imported late, so that later children need not."""
    for name in names.read_text().splitlines():
        with suppress(Exception):  # what only some parent may import
            importlib.import_module(name)


def _be_the_command(
    words: list[str],
    log: Path,
    before: Callable[[], None] | None,
    after: Callable[[], None] | None,
) -> None:
    status = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        if before is not None:
            before()
        status = autocompress.cli.main(words)
        if after is not None:
            after()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
