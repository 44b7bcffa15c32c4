"""``acn completion``: print the script by which a shell completes the command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autocompress.commands.accepts import options_of_verb
from autocompress.commands.common import Answer, Common, place
from autocompress.commands.table import VERBS

__all__ = ["Options", "run"]

_BASH = """\
_acn() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" verb="${{COMP_WORDS[1]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{verbs}"
    elif [[ "$word" == -* ]]; then
        case "$verb" in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [ -n "$words" ] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -F _acn acn"""


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn completion``."""

    shell: Literal["bash", "zsh", "fish"] = place("Shell: bash, zsh or fish.")


def run(args: Options) -> Answer:
    """Return the script, which contains the verbs and options of this version."""
    options = {}
    for name, verb in VERBS.items():
        accepted = options_of_verb(verb)
        keys = [key for key in accepted.names() if key not in accepted.places]
        options[name] = [f"--{key}" for key in (*keys, "help", "help-all")]
    script = _fish(options) if args.shell == "fish" else _bash(options)
    if args.shell == "zsh":
        script = f"autoload -Uz bashcompinit && bashcompinit\n{script}"
    return Answer(script, options)


def _bash(options: dict[str, list[str]]) -> str:
    cases = (f'            {verb}) words="{" ".join(keys)}" ;;' for verb, keys in options.items())
    return _BASH.format(verbs=" ".join(options), cases="\n".join(cases))


def _fish(options: dict[str, list[str]]) -> str:
    lines = [f'complete -c acn -n __fish_use_subcommand -a "{" ".join(options)}"']
    for verb, keys in options.items():
        lines += [
            f'complete -c acn -n "__fish_seen_subcommand_from {verb}" -l "{key[2:]}"'
            for key in keys
        ]
    return "\n".join(lines)
