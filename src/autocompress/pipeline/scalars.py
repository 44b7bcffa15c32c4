"""Interpret single words by the type of their option.

YAML 1.1 turns ``off`` into a boolean, ``010`` into eight and ``2020-01-01`` into a date, whatever
the option takes. Here the option's type decides, and an ambiguous word is refused.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["TRUE_FALSE", "boolean", "is_null", "number", "in_quotes", "text", "untyped", "whole"]

#: The words for true and false, in any case.
TRUE_FALSE = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}

#: Largest number in single precision, in which networks compute.
_LARGEST = 3.4028234e38

_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,9})?")
_OTHER_BASE = re.compile(r"[-+]?0(?:[0-9_]+|[oO][0-9_]+|[xX][0-9a-fA-F_]+|[bB][01_]+)")
_NOT_FINITE = re.compile(r"[-+]?\.?(?:inf|infinity)|\.?nan", re.IGNORECASE)
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt\s].*)?")


def in_quotes(word: str) -> str:
    """Return the word in quotes, shortened if it is long."""
    return repr(word if len(word) <= 60 else word[:57] + "...")


def is_null(word: str) -> bool:
    """Return whether an unquoted word stands for no value."""
    return word in ("", "~", "null", "Null", "NULL")


def boolean(word: str) -> bool:
    """Return true or false.

    Raises:
        ValueError: It is another word.
    """
    if word.lower() not in TRUE_FALSE:
        raise ValueError(f"{in_quotes(word)} is neither true nor false")
    return TRUE_FALSE[word.lower()]


def whole(word: str) -> int:
    """Return a whole number, which may be written 1000, 1_000 or 1e3.

    Raises:
        ValueError: It is not a whole number, could be octal, or exceeds 64 bits.
    """
    _check_base(word)
    if not _NUMBER.fullmatch(word):
        raise ValueError(f"{in_quotes(word)} is not a whole number")
    exact = len(word) <= 30 and _WHOLE.fullmatch(word) is not None
    found = int(word) if exact else float(word)
    if not -(2**63) <= found < 2**63:
        raise ValueError(f"{in_quotes(word)} is out of range")
    if found != int(found) or (found == 0 and _is_underflow(word)):
        raise ValueError(f"{in_quotes(word)} is not a whole number")
    return int(found)


def number(word: str) -> float:
    """Return a number that single precision can hold, which may be written 0.001, 1e-3 or .001.

    Raises:
        ValueError: It is not a number, could be octal, or is infinity or NaN.
    """
    _check_base(word)
    if _NOT_FINITE.fullmatch(word):
        raise ValueError(f"{in_quotes(word)} is not finite")
    if not _NUMBER.fullmatch(word):
        raise ValueError(f"{in_quotes(word)} is not a number")
    found = float(word)
    if abs(found) > _LARGEST or (found == 0 and _is_underflow(word)):
        raise ValueError(f"{in_quotes(word)} is out of range")
    return found


def _is_underflow(word: str) -> bool:
    """Return whether a number that reads as 0 has a digit that is not, as 1e-400 does."""
    return any(digit in "123456789" for digit in word.lower().partition("e")[0])


def text(word: str) -> str:
    """Return the word itself.

    Raises:
        ValueError: It has characters that neither a file name nor UTF-8 can hold.
    """
    if "\0" in word:
        raise ValueError(f"{in_quotes(word)} holds a NUL character")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{in_quotes(word)} holds characters that are not UTF-8") from None
    return word


def untyped(word: str) -> Any:
    """Return the meaning of an unquoted word for an option that takes values of any type.

    Raises:
        ValueError: Readers of YAML disagree about the word.
    """
    if is_null(word):
        return None
    if word.lower() in ("true", "false"):
        return boolean(word)
    if word.lower() in TRUE_FALSE:
        meant = str(TRUE_FALSE[word.lower()]).lower()
        raise ValueError(f'{word} can be read as a word or as {meant}: write "{word}" or {meant}')
    for form, kind in ((_OTHER_BASE, "number"), (_SIXTIES, "time"), (_DATE, "date")):
        if form.fullmatch(word):
            raise ValueError(
                f"{in_quotes(word)} can be read in several ways: write a decimal number, or "
                f'"{word}" in quotes if it is text and no {kind}'
            )
    if _NOT_FINITE.fullmatch(word) and "." in word:
        raise ValueError(f"{in_quotes(word)} is not finite")
    if _WHOLE.fullmatch(word):
        return whole(word)
    return number(word) if _NUMBER.fullmatch(word) else text(word)


def _check_base(word: str) -> None:
    if _OTHER_BASE.fullmatch(word):
        raise ValueError(
            f"{in_quotes(word)} could be octal or of another base: write a decimal number without "
            "leading zeros"
        )
