"""Scripts by which shells complete commands and flags, made from the parser itself."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its spellings, what it says, whether a value follows, and which values there are."""

    names: tuple[str, ...]
    text: str
    takes_value: bool
    choices: tuple[str, ...]
    repeats: bool


@dataclass(frozen=True, slots=True)
class Completed:
    """A command: what it says, its flags, and the words that may stand for its arguments."""

    text: str
    flags: tuple[Flag, ...]
    words: tuple[str, ...]


def described(parser: argparse.ArgumentParser) -> dict[str, Completed]:
    """Return all commands, and the program itself under an empty name."""
    commands = next(action for action in parser._actions if action.dest == "command")  # noqa: SLF001  no public way
    assert isinstance(commands, argparse._SubParsersAction)  # noqa: SLF001
    texts = {choice.dest: choice.help or "" for choice in commands._choices_actions}  # noqa: SLF001
    found = {"": _completed(parser, "", tuple(commands.choices))}
    for name, command in commands.choices.items():
        found[name] = _completed(command, texts[name], ())
    return found


def _completed(parser: argparse.ArgumentParser, text: str, words: tuple[str, ...]) -> Completed:
    flags, names = [], list(words)
    for action in parser._actions:  # noqa: SLF001  argparse has no public way to ask
        if action.option_strings:
            flags.append(_flag(action))
        elif action.choices and not words:
            names += map(str, action.choices)
    return Completed(text, tuple(flags), tuple(names))


def _flag(action: argparse.Action) -> Flag:
    return Flag(
        tuple(action.option_strings),
        action.help or "",
        takes_value=action.nargs != 0,
        choices=tuple(map(str, action.choices or ())),
        repeats=type(action).__name__ in ("_AppendAction", "_CountAction"),
    )


# --- bash


_BASH = """\
# bash completion for becalm, written by `becalm generate`
_becalm() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command= words= word
    if [[ $current == "=" ]]; then
        current=
    elif [[ $previous == "=" ]]; then
        previous=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in
        {commands}) command=$word; break ;;
        esac
    done
    case "$command $previous" in
{values}
    esac
    if [[ -z $words ]]; then
        case "$command $current" in
{flags}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _becalm becalm
"""


def bash(commands: Mapping[str, Completed]) -> str:
    """Return the script for bash. What it does not know is completed as a file."""
    values, flags = [], []
    for name, command in commands.items():
        for flag in command.flags:
            patterns = "|".join(f'"{name} {spelled}"' for spelled in flag.names)
            if flag.takes_value:
                words = f'words="{" ".join(flag.choices)}"' if flag.choices else "COMPREPLY=(); return"
                values.append(f"    {patterns}) {words} ;;")
        spelled = " ".join(spelled for flag in command.flags for spelled in flag.names)
        flags.append(f'        "{name} -"*) words="{spelled}" ;;')
        if command.words:
            flags.append(f'        "{name} "*) words="{" ".join(command.words)}" ;;')
    names = "|".join(name for name in commands if name)
    return _BASH.format(commands=names, values="\n".join(values), flags="\n".join(flags))


# --- zsh


def zsh(commands: Mapping[str, Completed]) -> str:
    """Return the script for zsh."""
    lines = [
        "#compdef becalm",
        "# zsh completion for becalm, written by `becalm generate`",
        "_becalm() {",
        "    local curcontext=$curcontext state line",
        "    local -a commands=(",
        *(f"        {_quoted(f'{name}:{_plain(one.text)}')}" for name, one in commands.items() if name),
        "    )",
        "    _arguments -C \\",
        *(f"        {spec} \\" for spec in _zsh_flags(commands[""])),
        "        '1: :->command' '*:: :->rest'",
        "    if [[ $state == command ]]; then _describe command commands; return; fi",
        "    case $words[1] in",
    ]
    for name, command in commands.items():
        if name:
            words = f"'*:argument:({' '.join(command.words)})'" if command.words else "'*:file:_files'"
            lines += [f"    {name})", "        _arguments \\"]
            lines += [f"            {spec} \\" for spec in _zsh_flags(command)]
            lines += [f"            {words} ;;"]
    return "\n".join([*lines, "    esac", "}", '_becalm "$@"', ""])


def _zsh_flags(command: Completed) -> Iterator[str]:
    for flag in command.flags:
        text = f"[{_plain(flag.text)}]"
        value = ""
        if flag.takes_value:
            value = f":value:({' '.join(flag.choices)})" if flag.choices else ":value:_files"
        for name in flag.names:
            others = "*" if flag.repeats else f"({' '.join(flag.names)})"
            follows = ("=" if name.startswith("--") else "+") if flag.takes_value else ""
            yield _quoted(f"{others}{name}{follows}{text}{value}")


def _plain(text: str) -> str:
    """Return a text without the characters that mean something in a description."""
    return "".join(" " if character in "[]:\\" else character for character in text.replace("%%", "%"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish


def fish(commands: Mapping[str, Completed]) -> str:
    """Return the script for fish."""
    lines = ["# fish completion for becalm, written by `becalm generate`"]
    for name, command in commands.items():
        if name:
            lines.append(_fish_line("-n __fish_use_subcommand -f", f"-a {name}", command.text))
        seen = f"-n '__fish_seen_subcommand_from {name}'" if name else "-n __fish_use_subcommand"
        if name and command.words:
            lines.append(f"complete -c becalm {seen} -f -a {_fish_quoted(' '.join(command.words))}")
        lines += [_fish_line(seen, _fish_flag(flag), flag.text) for flag in command.flags]
    return "\n".join([*lines, ""])


def _fish_flag(flag: Flag) -> str:
    parts = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names]
    if flag.choices:
        parts.append(f"-x -a {_fish_quoted(' '.join(flag.choices))}")
    elif flag.takes_value:
        parts.append("-r")
    return " ".join(parts)


def _fish_line(condition: str, what: str, text: str) -> str:
    return f"complete -c becalm {condition} {what} -d {_fish_quoted(text.replace('%%', '%'))}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
