"""Mutated command lines of every verb. Nothing here gets as far as training."""

from __future__ import annotations

import random
from pathlib import Path

from autocompress.commands.accepts import options_of_verb
from autocompress.commands.table import VERBS
from faults.mutations import damaged, odd
from faults.networks import tiny_run

#: Verbs that act on a network that is there; they are quick on a tiny one.
ACTING = {
    "probe": "RUN --split test --json",
    "cut": "RUN --depth 1 --output OUT",
    "prune": "RUN --share 0.5 --output OUT",
    "exit": "RUN --depths [1] --threshold 0.3 --json",
    "measure": "RUN --batch_sizes [1] --json",
    "generate": "RUN --ids [1,2] --new 2",
    "export": "RUN --output OUT.pt",
    "report": "RUN",
    "predict": "RUN RUN/none.png --json",
    "runs": "RUN --where depth>1 --sort test",
    "compare": "RUN RUN --json",
    "completion": "bash",
    "plan": "timm:no_such_network --arguments {a: 1} --json",
    "convert": "hf:NoSuchClass --output OUT --connectivity acn",
    "reproduce": "no_such_claim --out OUT --seeds 1 --data a=b",
}


def trial(rng: random.Random, folder: Path) -> list[str]:
    """Return the words of a mutated command line; what they name stands in ``folder``."""
    run = tiny_run(folder)
    verb = rng.choice([verb for verb in VERBS if verb != "doctor"])  # it compiles
    if verb in ACTING:
        words = [_placed(word, run, folder) for word in ACTING[verb].split(" ")]
    else:
        words = ["--output", str(folder / "out"), "--print_config", "--fit.lr", "1e-3"]
        keys = options_of_verb(VERBS[verb]).names()
        for key in rng.choices(keys, k=rng.randint(0, 4)):
            words += [f"--{key}", odd(rng)] if rng.random() < 0.7 else [f"--{key}={odd(rng)}"]
    words = [verb, *words]
    for _ in range(rng.randint(1, 3)):
        words = _changed(words, rng, verb)
    if verb not in ACTING:
        words.append("--print_config")  # whatever happened to the first one
        words = [word for word in words if word != "--"]
    return words


def _placed(word: str, run: Path, folder: Path) -> str:
    return word.replace("RUN", str(run)).replace("OUT", str(folder / "out"))


def _changed(words: list[str], rng: random.Random, verb: str) -> list[str]:
    place = rng.randrange(1, len(words) + 1)
    before, after = words[:place], words[place:]
    way = rng.randrange(6)
    if way == 0 and after:
        return [*before, damaged(after[0], rng), *after[1:]]
    if way == 1:
        return [*before, odd(rng), *after]
    if way == 2 and after:
        return [*before, *after[1:]]
    if way == 3 and after:
        return [*before, after[0], *after]
    if way == 4:
        key = rng.choice(options_of_verb(VERBS[verb]).names())
        return [*before, f"--{key}", odd(rng), *after]
    mixed = words[1:]
    rng.shuffle(mixed)
    return [words[0], *mixed]
