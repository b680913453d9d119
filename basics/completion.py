"""Shell completion: what a shell reads to complete the words after `captionize`.

The script has all words in it, so that completing starts no Python.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

BASH = """\
_captionize() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command=caption words=
  case ${{COMP_WORDS[1]}} in {commands}) [ $COMP_CWORD -gt 1 ] && command=${{COMP_WORDS[1]}} ;; esac
  case $command$prev in
{choices}
  esac
  if [ -z "$words" ]; then
    case $command/$cur in
{options}
    esac
    [ $COMP_CWORD = 1 ] && words="$words {first}"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -o bashdefault -F _captionize captionize
"""
ZSH = "autoload -Uz bashcompinit && bashcompinit\n"  # zsh then reads what bash does


SHELLS = ("bash", "zsh", "fish")


class Option(NamedTuple):
    """One option of a command: its names, the values to choose from, and whether it takes one."""

    names: Sequence[str]
    choices: Sequence[str]
    takes_value: bool
    help: str


def main(arguments: Sequence[str], prog: str, commands: Mapping[str, tuple[str, str, str]]) -> int:
    """Print the completion for a shell; `commands` is the table of captionize."""
    parser = argparse.ArgumentParser(
        prog=prog, description=f'Print a shell\'s completion. In bash: eval "$({prog} bash)"'
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that completes")
    shell = parser.parse_args(arguments).shell
    options = {name: [*_options(module)] for name, (module, _, _) in commands.items()}
    if shell == "fish":
        print("\n".join(_fish(commands, options)))
    else:
        print((ZSH if shell == "zsh" else "") + _bash(options), end="")
    return 0


def _options(module: str) -> Iterator[Option]:
    """The options of a command, and its commands in turn; none of one that is not installed."""
    try:
        door = importlib.import_module(module)
    except ModuleNotFoundError:
        return
    if hasattr(door, "build_parser"):
        for action in door.build_parser()._actions:
            if action.option_strings:
                choices = [str(one) for one in action.choices or ()]
                text = (action.help or "").partition(" (")[0]
                yield Option(action.option_strings, choices, action.nargs != 0, text)
    elif door is sys.modules[__name__]:
        yield from (Option([shell], [], False, "") for shell in SHELLS)
    elif hasattr(door, "cli"):
        for name, command in door.cli.commands.items():
            yield Option([name], [], False, command.get_short_help_str())


def _bash(options: Mapping[str, Sequence[Option]]) -> str:
    return BASH.format(
        commands="|".join(options),
        first=" ".join(options),
        choices="\n".join(
            f"    {'|'.join(command + name for name in option.names)})"
            f' words="{" ".join(option.choices)}" ;;'
            for command, has in options.items()
            for option in has
            if option.choices
        ),
        options="\n".join(
            f'    {command}/{start}*) words="{" ".join(names)}" ;;'
            for command, has in options.items()
            for start in ("-", "")
            if (names := [n for o in has for n in o.names if n.startswith("-") == (start == "-")])
        ),
    )


def _fish(
    commands: Mapping[str, tuple[str, str, str]], options: Mapping[str, Sequence[Option]]
) -> Iterator[str]:
    others = " ".join(name for name in commands if name != "caption")
    for name, (_, _, does) in commands.items():
        yield f"complete -c captionize -n __fish_use_subcommand -a {name} -d '{does}'"
        within = f"__fish_seen_subcommand_from {name}"
        within = f"not __fish_seen_subcommand_from {others}" if name == "caption" else within
        for option in options[name]:
            words = [
                f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" if n[0] == "-" else f"-a {n}"
                for n in option.names
            ]
            if option.choices:
                words.append(f"-xa '{' '.join(option.choices)}'")
            elif option.takes_value:
                words.append("-r")
            text = option.help.replace("\\", "\\\\").replace("'", "\\'")
            yield f"complete -c captionize -n '{within}' {' '.join(words)} -d '{text}'"
