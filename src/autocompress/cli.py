"""The command ``acn``: parse the words, call the verb, turn errors into messages.

Errors raised on purpose (AutoCompressError) print one message and exit with status 2; a signal
exits with 128 plus its number. ``--debug`` shows the traceback. The verbs are the modules of
:mod:`autocompress.commands`; torch is imported with the first of them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper
from typing import Any

from autocompress import interrupts
from autocompress.commands.table import VERBS, Verb, verbs_text, version
from autocompress.errors import AutoCompressError, InterruptedRunError, UnknownNameError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: The words of the command without ``acn``; None uses the process's own.
    """
    _ready_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"] or ["--help"]
    try:
        with interrupts.listening():
            try:
                return _answer(words, debug)
            except BaseException as error:  # a library may have replaced the signal's exception
                if debug or not interrupts.is_stop(error):
                    raise
                return _failed(interrupts.words(error), interrupts.status(error))
    except KeyboardInterrupt as error:  # a second signal while the first was handled
        if debug:
            raise
        return _failed(interrupts.words(error), interrupts.status(error))


def _ready_streams() -> None:
    """Let the process print wherever it was started.

    Standard output or error may be closed (``>&-``, a service), and then goes nowhere. An output
    whose encoding lacks a sign, such as a table's lines in ASCII, gets a question mark for it.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    out = sys.stdout
    if isinstance(out, TextIOWrapper) and out is sys.__stdout__ and out.errors == "strict":
        out.reconfigure(errors="replace")


def _answer(words: list[str], debug: bool) -> int:
    """Run a command and return the exit status."""
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except InterruptedRunError:
        raise
    except AutoCompressError as error:
        if debug or interrupts.is_stop(error):
            raise
        return _failed(str(error))
    except BrokenPipeError:  # the reader has closed the output, as in `acn probe RUN | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + 13  # the status of a program ended by SIGPIPE
    except (MemoryError, RuntimeError) as error:  # of a batch or picture of a nonsensical size
        if debug or not _is_of_memory(error):
            raise
        return _failed(
            "there is not enough memory for this: choose smaller batches, pictures or a smaller "
            f"network ({(str(error).splitlines() or [type(error).__name__])[0]})"
        )
    except OSError as error:  # not foreseen anywhere in the library, e.g. a full disk
        if debug or error.strerror is None:
            raise
        return _failed(f"{error.strerror}: {error.filename or ' '.join(words)}")


def _is_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory, of the machine or of a GPU, is too small."""
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in said for words in ("can't allocate memory", "size calculation overflowed"))
    )


def _run(words: Sequence[str]) -> int:
    """Run the verb that the words name and return the exit status."""
    name = words[0]
    if name in ("--version", "-V"):
        print(version())
    elif name in ("--help", "-h"):
        print(verbs_text())
    elif name not in VERBS:
        raise UnknownNameError("verb", name, VERBS)
    elif "--help-all" not in words and not _HELP.isdisjoint(words):
        from autocompress.commands.helping import short_help

        print(short_help(name))
    else:
        wait_passively()
        if VERBS[name].trains and "torch" not in sys.modules and not _SHORT.intersection(words):
            print(
                f"acn {name}: starting (PyTorch takes a few seconds)", file=sys.stderr, flush=True
            )
        return _call(VERBS[name], words[1:])
    return 0


#: Words that ask for the short help.
_HELP = {"--help", "-h"}

#: Words with which a verb that trains does not train, or is to say nothing but its result.
_SHORT = {"--help-all", "--quiet", "--print_config", "--print-config"}


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait, unless the user has chosen otherwise.

    By default they spin, which takes the processor from the work they wait for: beside another busy
    process training takes twice as long (docs/training.md). This only has an effect before torch
    is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _call(verb: Verb, words: Sequence[str]) -> int:
    """Parse the words of a verb, run it and return the exit status: 0 unless it says another."""
    from autocompress.commands.accepts import options_of_verb
    from autocompress.pipeline import make_config, read_words
    from autocompress.training.launched import one_process

    if "--help-all" in words:
        from autocompress.commands.help import explanation

        print(explanation(verb, everything=True))
        return 0
    if not verb.processes:
        one_process(f"acn {verb.name}")
    module, options = verb.module(), options_of_verb(verb)
    said = read_words(words, options)
    if said.own.get("data"):  # e.g. of probe: a table is of texts there as well
        from autocompress.pipeline.inferring import inferred

        said.own["data"] = inferred({"data": said.own["data"]})[0]["data"]
    own: Any = make_config(options.own, said.own)
    if options.sections is None:
        return _told(module, own)
    from autocompress.pipeline import resolve, to_yaml
    from autocompress.pipeline.inferring import inferred

    said.sections, plain = inferred(said.sections)
    config: Any = resolve(make_config(options.sections, said.sections))
    if own.print_config:
        print(to_yaml(config), end="")
        return 0
    if plain and not own.quiet:
        from autocompress.data.places import shown_name

        name = shown_name(config.data.name)
        print(f"inferred from {name}: {', '.join(plain)}", file=sys.stderr)
    _say_unused(verb, options.unused, said, config)
    return _told(module, own, config)


def _told(module: Any, own: Any, *config: Any) -> int:
    """Run a verb, print its answer and return the exit status; raise the answer's error, if any."""
    if getattr(module, "STREAMS", False):  # answers one input after another, and prints itself
        return int(module.run(own, *config))
    with _progress(own):
        answer = module.run(own, *config)
    if answer is None:  # of several processes one tells
        return 0
    print(json.dumps(answer.value, allow_nan=False, default=str) if own.json else answer.text)
    if answer.error is not None:
        raise answer.error
    return 0


@contextmanager
def _progress(own: Any) -> Iterator[None]:
    """Redirect what a verb prints on its way, so that it does not mix with the answer."""
    if own.quiet:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield
    elif own.json:
        with redirect_stdout(sys.stderr):
            yield
    else:
        yield


def _say_unused(verb: Verb, unused: Sequence[str], said: Any, config: Any) -> None:
    """Tell the user which options of a recipe this verb ignores, if they are set."""
    from autocompress.pipeline import make_config, resolve

    used = {key: value for key, value in said.sections.items() if key not in unused}
    plain = resolve(make_config(type(config), used))
    changed = [
        key
        for key in unused
        if key in said.from_recipe and getattr(config, key) != getattr(plain, key)
    ]
    if changed:
        print(
            f"acn {verb.name} does not use what the recipe says of {', '.join(changed)}; "
            "acn compress does",
            file=sys.stderr,
        )


def _failed(message: str, status: int = 2) -> int:
    print(f"acn: error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
