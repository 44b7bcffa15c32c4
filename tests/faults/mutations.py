"""Ways in which a text, or bytes, get damaged; every kind of input draws from them."""

from __future__ import annotations

import random

#: Words on which readers disagree, numbers at the edges, characters that mean something.
ODD = [
    *("on", "off", "yes", "no", "true", "null", "~", "", "010", "0x1F", "0o7", "1e-3", "1e999"),
    *("-1", "0", "1", "1.0", "9" * 30, "-0.0", ".inf", ".nan", "nan", "1:30", "2020-01-01", "1_0"),
    *("[]", "{}", "[1, 2]", "{a: 1}", "[[", "&a", "*a", "<<: *a", "&a [*a]", "!!str x", "!x"),
    *("class_path", "class_path: os.system", "os.system", "trust_remote_code", "x/../y"),
    *(
        "é",
        "\u2028",
        "\ufeff",
        "\x7f",
        "\x00",
        "😀",
        "%s",
        "$HOME",
        "`x`",
        "'",
        '"',
        "\\",
        "#",
        "|",
    ),
    *(":", "-", "? a", "--", "--help", "@", "\t", "\r\n", "\n", "---", "...", "x" * 3000),
]


def odd(rng: random.Random) -> str:
    """Return one odd word."""
    return rng.choice(ODD)


def damaged(text: str, rng: random.Random) -> str:
    """Return the text with one to four places changed."""
    for _ in range(rng.randint(1, 4)):
        text = rng.choice([_character, _word, _cut, _line, _nest])(text, rng)
    return text


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to four bits changed, or cut short."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.1 else changed)


def _character(text: str, rng: random.Random) -> str:
    place = rng.randint(0, len(text))
    new = rng.choice(["", chr(rng.randrange(32, 127)), rng.choice("{}[]:,-#&*!|>'\"%@`\n\t ")])
    return text[:place] + new + text[place + rng.randint(0, 1) :]


def _word(text: str, rng: random.Random) -> str:
    """Put an odd word in the place of another."""
    words = text.split(" ")
    words[rng.randrange(len(words))] = odd(rng) + rng.choice(["", "\n"])
    return " ".join(words)


def _cut(text: str, rng: random.Random) -> str:
    start = rng.randint(0, len(text))
    return text[:start] + text[start + rng.randint(0, 40) :]


def _line(text: str, rng: random.Random) -> str:
    """Say a line twice, leave it out, indent it, or move it."""
    lines = text.splitlines() or [""]
    place = rng.randrange(len(lines))
    line = lines[place]
    new = rng.choice([[line, line], [], ["  " + line], [line.lstrip()], [lines[-1], line]])
    lines[place : place + 1] = new
    return "\n".join(lines)


def _nest(text: str, rng: random.Random) -> str:
    """Open lists or mappings that nothing, or too little, closes."""
    place, many = rng.randint(0, len(text)), rng.choice([1, 3, 60, 5000])
    return text[:place] + rng.choice(["[", "{a: ", "- ", "? ", "&a [", "'"]) * many + text[place:]
