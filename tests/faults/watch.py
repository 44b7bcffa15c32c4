"""One command on one input, watched: how it ends, how long it takes, how much memory."""

from __future__ import annotations

import contextlib
import io
import resource
import time
import traceback
from dataclasses import dataclass

from autocompress.cli import main


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Args:
        status: exit status; None where an exception came out of ``main``.
        said: its traceback, or what the command wrote to stderr.
        seconds: of this process on a processor, which other processes do not stretch.
        mib: largest size of the process so far, in MiB.
    """

    status: object
    said: str
    seconds: float
    mib: float

    @property
    def fault(self) -> str | None:
        """Say what is wrong with it; None where nothing is."""
        if self.status is None:
            return "exception"
        if self.status not in (0, 2):
            return f"status {self.status}"
        if "Traceback" in self.said or (self.status == 2 and "acn: error: " not in self.said):
            return "no message of ours"
        return "longer than 10 s" if self.seconds > 10 else None


def watched(words: list[str]) -> Outcome:
    """Run ``acn`` with these words in this process."""
    start, errors, status = time.process_time(), io.StringIO(), None
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            status = main(words)
        except SystemExit as left:
            status = left.code
        except BaseException:
            errors.write(traceback.format_exc())
    seconds = time.process_time() - start
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Outcome(status, errors.getvalue(), round(seconds, 3), round(mib, 1))
