"""restic's file patterns: `*` within a component, `**` over any number of them, `!` takes back."""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from becalm_engine.errors import UsageError

_ANY_PARENTS = "(?:.*/)?"
_MEMBER = re.compile(r"\\?(.)(?:-\\?(.))?", re.DOTALL)
"""One character of a bracket, or a range of them; a backslash takes a character as it is."""


class Patterns:
    """An ordered list of patterns; the last one that fits a path decides.

    `names_only`: what fits is decided by the last component alone, whatever is above it.
    """

    def __init__(self, patterns: Sequence[str], *, ignore_case: bool = False) -> None:
        self.names_only = not any("/" in pattern or pattern.startswith("!") for pattern in patterns)
        flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        self._rules = [_rule(pattern, flags) for pattern in patterns]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def match(self, path: str) -> bool:
        """Say whether an absolute path fits. Callers ask about parents first and leave out what is below.

        What takes back takes back all that lies below as well: nobody asks about that by the parent.
        """
        fits = False
        for rule in self._rules:
            expression = rule.covering if rule.negated else rule.exact
            if fits is rule.negated and expression.fullmatch(path):
                fits = not rule.negated
        return fits

    def covers(self, path: str) -> bool:
        """Say whether a path fits, or lies below one that does."""
        covered = False
        for rule in self._rules:
            if covered is rule.negated and rule.covering.fullmatch(path):
                covered = not rule.negated
        return covered

    def may_cover_below(self, path: str) -> bool:
        """Say whether something below a folder may fit; where it cannot, nobody needs to look."""
        return any(not rule.negated and rule.may_cover_below(path) for rule in self._rules)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One pattern. `heads` has its first components, one expression a depth; a relative one has no such depth."""

    negated: bool
    exact: re.Pattern[str]
    covering: re.Pattern[str]
    heads: tuple[re.Pattern[str], ...] | None

    def may_cover_below(self, path: str) -> bool:
        if self.heads is None:
            return True
        depth = path.count("/")
        head = self.heads[depth - 1] if depth <= len(self.heads) else self.covering
        return head.fullmatch(path) is not None


def _rule(pattern: str, flags: int) -> _Rule:
    text = pattern.removeprefix("!")
    body = _expression(text)
    return _Rule(
        pattern.startswith("!"),
        re.compile(body, flags),
        re.compile(f"(?:{body})(?:/.*)?", flags),
        _heads(posixpath.normpath(text), flags),
    )


def _heads(text: str, flags: int) -> tuple[re.Pattern[str], ...] | None:
    """Return what the folders on the way to an anchored pattern look like."""
    parts = text.strip("/").split("/")
    if not text.startswith("/") or "**" in parts:
        return None
    components = [_component(part) for part in parts]
    return tuple(re.compile("/" + "/".join(components[:depth]), flags) for depth in range(1, len(parts)))


def _expression(pattern: str) -> str:
    """Translate one pattern; a relative one may begin at any component."""
    text = posixpath.normpath(pattern) if pattern else ""
    if not text.strip("/"):
        raise UsageError("a pattern is empty")
    anchored = text.startswith("/")
    parts = [_component(part) for part in text.strip("/").split("/")]
    body = "/".join(parts).replace("\0/", _ANY_PARENTS).replace("/\0", "(?:/.*)?").replace("\0", ".*")
    return ("/" if anchored else "/" + _ANY_PARENTS) + body


def _component(part: str) -> str:
    """Translate one component.

    What stands between two stars is looked for once, at the first place where it fits: a later one would leave less
    for what follows. So a name of any length, and anybody's, takes no more than its square.
    """
    if part == "**":
        return "\0"
    first, *others = _between_stars(part)
    if not others:
        return first
    sought = "".join(f"(?>[^/]*?{one})" for one in others[:-1])
    return f"{first}{sought}[^/]*{others[-1]}"


def _between_stars(part: str) -> list[str]:
    """Translate what stands between the stars of a component; a bracket that is not closed stands for itself."""
    out, at = [""], 0
    while at < len(part):
        character = part[at]
        end = part.find("]", at + 2) if character == "[" else -1
        if end > 0:
            out[-1] += _bracket(part[at + 1 : end])
            at = end
        elif character == "*":
            out.append("")
        elif character == "\\" and at + 1 < len(part):
            at += 1
            out[-1] += re.escape(part[at])
        else:
            out[-1] += "[^/]" if character == "?" else re.escape(character)
        at += 1
    return out


def _bracket(inner: str) -> str:
    """Translate what stands in a bracket; `^` at its start means any other character but a slash."""
    negated = inner.startswith("^") and len(inner) > 1
    ranges = []
    for first, last in _MEMBER.findall(inner.removeprefix("^") if negated else inner):
        if last and last < first:
            raise UsageError(f"a pattern has the range {first}-{last}, which is backwards")
        ranges.append(re.escape(first) + (f"-{re.escape(last)}" if last else ""))
    return f"[^/{''.join(ranges)}]" if negated else f"(?!/)[{''.join(ranges)}]"
