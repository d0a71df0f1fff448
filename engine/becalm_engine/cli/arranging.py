"""Brings arguments into the order and the spelling that argparse understands whatever restic's users type.

restic takes flags anywhere: before the command, after it, between paths; a flag's value may begin with a dash, and
a flag without a value may have one (`--json=true`, `--verbose=2`). Here all flags move behind their command, each
in its long spelling with its value, and all else behind a `--`.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from becalm_engine.digits import whole_number

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_MAX_COUNT = 9
_Subcommands = argparse._SubParsersAction  # noqa: SLF001  argparse names the type so


@dataclass(slots=True)
class _Arranged:
    """What was found so far: the commands, the flags in their order, and the rest."""

    commands: list[str] = field(default_factory=list)
    flags: list[tuple[str, str]] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    def put(self, action: argparse.Action, value: str | None) -> None:
        """Add a flag, or what its value makes of those before it."""
        name = _long(action)
        counts = isinstance(action, argparse._CountAction)  # noqa: SLF001  argparse names the type so
        switches = action.nargs == 0 and not counts
        if value is None or (switches and value in _TRUE):
            self.flags.append((name, name))
        elif switches and value in _FALSE:
            self._forget(name)
        elif counts and (count := whole_number(value)) is not None and count <= _MAX_COUNT:
            self._forget(name)
            self.flags += [(name, name)] * count
        else:
            self.flags.append((name, f"{name}={value}"))

    def _forget(self, name: str) -> None:
        self.flags = [flag for flag in self.flags if flag[0] != name]

    def arguments(self) -> list[str]:
        """Return all of it."""
        return [*self.commands, *(text for _, text in self.flags), *(["--", *self.rest] if self.rest else [])]


def arranged(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Return the arguments as `parser` understands them; what it does not know stays, to be refused."""
    found, left = _Arranged(), iter(arguments)
    flags, commands = _flags(parser), _commands(parser)
    for word in left:
        if word == "--":
            found.rest += left
        elif word.startswith("-") and word != "-":
            _put_flag(found, word, flags, left)
        elif commands is None:
            found.rest.append(word)
        elif word in commands:
            found.commands.append(word)
            flags, commands = {**flags, **_flags(commands[word])}, _commands(commands[word])
        else:
            found.commands += [word, *left]
    return found.arguments()


def _put_flag(found: _Arranged, word: str, flags: Mapping[str, argparse.Action], left: Iterator[str]) -> None:
    """Add the flag of a word, or the several short ones; one that needs a value takes the next word."""
    name, equals, value = word.partition("=")
    if word.startswith("--"):
        _put(found, flags.get(name), word, value if equals else None, left)
        return
    letters = word[1:]
    while letters:
        action = flags.get(f"-{letters[0]}")
        takes_all = action is None or action.nargs != 0 or letters[1:2] == "="
        attached = letters[1:].removeprefix("=") if takes_all and letters[1:] else None
        _put(found, action, f"-{letters}", attached, left)
        letters = "" if takes_all else letters[1:]


def _put(
    found: _Arranged, action: argparse.Action | None, word: str, value: str | None, left: Iterator[str]
) -> None:
    if action is None:
        found.flags.append((word, word))
    else:
        found.put(action, next(left, None) if value is None and action.nargs != 0 else value)


def _long(action: argparse.Action) -> str:
    return next(name for name in action.option_strings if name.startswith("--"))


def _flags(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {name: action for action in parser._actions for name in action.option_strings}  # noqa: SLF001  no public way


def _commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser] | None:
    """Return the parsers of the commands that may come next, or None if there are none."""
    found = (action for action in parser._actions if isinstance(action, _Subcommands))  # noqa: SLF001  no public way
    return next((action.choices for action in found), None)
