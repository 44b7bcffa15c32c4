"""Handle Ctrl-C, SIGTERM and SIGHUP the same way from the first second on.

All three raise :class:`Stopped`, a KeyboardInterrupt, immediately; within :func:`finishing` they
wait until the current step is done and its checkpoint written, but for at most ten seconds.
Signals that the process ignores (``nohup``) or handles itself are left alone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType
from typing import Any, NoReturn

from autocompress.errors import InterruptedRunError

__all__ = [
    "Stopped",
    "finishing",
    "guard_command",
    "listening",
    "is_stop",
    "pending",
    "status",
    "stop",
    "words",
]

#: Seconds that the current step may still take after a signal.
PATIENCE = 10.0

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_COMMANDS = ("autocompress", "autocompress.cli")


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class _State:
    """The signal handler's knowledge of the process."""

    owner = 0
    received: int | None = None
    finishing = False
    timer: threading.Timer | None = None


_state = _State()


def guard_command() -> None:
    """Make a signal end the ``acn`` command with a short message instead of a traceback.

    The package calls this on its first line, because importing the rest takes seconds. In any other
    process it does nothing: a library should leave signals alone.
    """
    as_module = any(pair in _MODULES for pair in pairwise(sys.orig_argv))
    if as_module or os.path.basename(sys.argv[0] if sys.argv else "") in ("acn", "acn.exe"):
        _install(_leave)
        sys.unraisablehook = _quiet(sys.unraisablehook)


def _quiet(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Silence a signal that arrives where nothing can be raised; the next step notices it."""

    def heard(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    return heard


_MODULES = tuple(("-m", name) for name in _COMMANDS)


@contextmanager
def listening() -> Iterator[None]:
    """Turn signals into :class:`Stopped` inside the context and restore the handlers afterwards."""
    before = _install(_handle)
    try:
        yield
    finally:
        if before:
            _forget()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def finishing() -> Iterator[None]:
    """Defer a signal until :func:`pending` is called or ten seconds have passed.

    A second signal stops the process immediately.
    """
    outer, _state.finishing = _state.finishing, True
    try:
        yield
    finally:
        _state.finishing = outer
    if not outer and _state.received is not None:
        stop()


def pending() -> int | None:
    """Return the number of the deferred signal, or None if there is none."""
    return _state.received


def stop() -> NoReturn:
    """Raise the signal that :func:`pending` reported."""
    raise Stopped(_state.received or signal.SIGINT)


def status(error: BaseException | None = None) -> int:
    """Return the exit status of a process stopped by a signal: 128 plus the signal's number.

    Args:
        error: The exception that ended the process; Ctrl-C is assumed if it names no signal.
    """
    number = getattr(error, "number", None) or _state.received or signal.SIGINT
    return 128 + int(number)


def is_stop(error: BaseException) -> bool:
    """Return whether ``error`` was caused by a signal, directly or indirectly."""
    return isinstance(error, KeyboardInterrupt | InterruptedRunError) or pending() is not None


def words(error: BaseException) -> str:
    """Return the message shown to the user for an ``error`` caused by a signal."""
    if isinstance(error, InterruptedRunError):
        return str(error)
    return str(Stopped(status(error) - 128)) + "; the same command begins again"


def _install(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Handle the signals that nobody else handles and return the previous handlers by number."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    _state.owner = os.getpid()
    before: dict[int, Any] = {}
    for name in _NAMES:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is None:
            continue
        current = signal.getsignal(number)
        if current in (signal.SIG_DFL, signal.default_int_handler, _leave):
            before[number] = signal.signal(number, handler)
    return before


def _handle(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _state.owner:
        _in_child(number)
        return
    first = _state.received is None
    _state.received = _state.received or number
    if _state.finishing and first:
        _state.timer = threading.Timer(PATIENCE, os.kill, (os.getpid(), number))
        _state.timer.daemon = True
        _state.timer.start()
        return
    raise Stopped(_state.received)


def _in_child(number: int) -> None:
    """Handle a signal in a forked worker: ignore Ctrl-C (the parent handles it), else exit."""
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _leave(number: int, frame: FrameType | None) -> None:
    """End the process when no work is in progress."""
    if os.getpid() == _state.owner:
        os.write(2, f"acn: {Stopped(number)}\n".encode())
    os._exit(128 + number)


def _forget() -> None:
    if _state.timer is not None:
        _state.timer.cancel()
    _state.received, _state.timer = None, None
