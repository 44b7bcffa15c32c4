"""Untrusted YAML, limited in size and depth and restricted to plain data."""

from __future__ import annotations

import os
import stat
from difflib import get_close_matches
from pathlib import Path

import yaml

from autocompress.errors import ConfigError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "compose", "read_text"]

#: Size limit in bytes. A recipe has a few kilobytes; reading this much takes well under a second.
MAX_BYTES = 64 * 1024

#: Limit of nested lists and mappings; recipes need about five levels.
MAX_DEPTH = 40

#: Limit of the values in a document after its aliases are expanded.
MAX_VALUES = 20_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_text(path: Path) -> str:
    """Return the text of a small file in UTF-8.

    Raises:
        ConfigError: ``path`` is missing, is a folder, pipe or device, has more than ``MAX_BYTES``,
            or is not UTF-8.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "no file")
            raise ConfigError(f"{path} is {kind}; expected a YAML file")
        # A pipe that replaces the file at this moment must not block either.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        if isinstance(error, ConfigError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {str(path)!r}: {reason}{_close_to(path)}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{path} holds more than {MAX_BYTES // 1024} KiB; a recipe has a few, so this is "
            "probably another file"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; "
            "save the file in the encoding UTF-8"
        ) from error


def _close_to(path: str | os.PathLike[str]) -> str:
    """Return a hint at a file of nearly the same name; empty if there is none."""
    try:
        beside = [file.name for file in Path(path).parent.iterdir() if file.is_file()]
    except (OSError, ValueError):
        return ""
    found = get_close_matches(Path(path).name, beside, n=1)
    return f"; did you mean {str(Path(path).with_name(found[0]))!r}?" if found else ""


def compose(text: str, source: str, *, numbered: bool = True) -> yaml.Node | None:
    """Return the root node of one YAML document; None if it is empty.

    Scalars keep the text as written: what ``off`` or ``010`` means depends on the option.

    Args:
        text: The document.
        source: Name of the document in messages.
        numbered: Whether messages name the line; a word of a command line has only one.

    Raises:
        ConfigError: The text is not YAML, is nested more than ``MAX_DEPTH`` levels deep, holds
            several documents, or has tags (``!!python/object``) that request more than plain data.

    Example:
        >>> compose("fit: {compile: off}", "recipe.yaml").value[0][0].value
        'fit'
    """
    try:
        _check_events(text, source, numbered)
        node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}, line {mark.line + 1}" if mark is not None and numbered else source
        words = ", ".join(part for part in (error.context, error.problem) if part)
        lines = text.splitlines()  # the mark may be behind the last one
        line = lines[mark.line] if mark and mark.line < len(lines) else ""
        if line.lstrip(" ").startswith("\t"):
            words += "; the line begins with a tab, and YAML takes spaces only"
        raise ConfigError(f"{place}: this is not YAML: {words}") from error
    except yaml.YAMLError as error:  # characters that YAML does not allow
        words = str(error).splitlines()[0]
        raise ConfigError(f"{source}: this is not YAML: {words}") from error
    return node


def _check_events(text: str, source: str, numbered: bool) -> None:
    """Read the document once without building it, and stop if a limit is exceeded."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        mark = event.start_mark
        place = f"{source}, line {mark.line + 1}" if mark is not None and numbered else source
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError(
                f"{place}: lists and mappings are nested more than {MAX_DEPTH} levels deep"
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise ConfigError(
                f"{place}: the tag {tag[:60]!r} asks for more than plain data; "
                "leave it out, and put words that are text in quotes"
            )
