"""The page of errors: every class of both trees, in the words of its docstring. Pure: classes in, Markdown out."""

from collections.abc import Iterator

from becalm_engine.contract import ExitCode
from becalm_engine.errors import EngineError
from becalm_operator.errors import OperatorError

_TO_DO = "To do:"
_HEAD = """# Errors

Every error that becalm raises on purpose: what the process ends with, whether the same call may succeed later by
itself, what it means, and what to do. This page is generated from `errors.py` of the engine and of the operator.

The message says which object, file or flag it is about. A program finds the class (without its last part, `Error`),
the message and `retryable` in the report that `--report FILE` leaves: `error.type`, `error.message`,
`error.retryable`. With `--json`, the exit code and the message also stand in the last line of standard error.
"""
_ENGINE = f"""## The engine: `becalm`

A class is indented below the more general one that it is a case of. Beside these codes, a command ends
with {ExitCode.OK:d} if all is well, and `backup` with {ExitCode.INCOMPLETE:d} if some files could not be read,
or a source was not there: the snapshot is there without them, and which they are and why stands on standard error
and in the report. `forget` ends with {ExitCode.INCOMPLETE:d} if the store did not let all snapshots go that were to be
removed: the others are gone, nothing was pruned, and `error.type` in the report says why.
"""
_OPERATOR = """## The operator: `becalm-operator`

What goes wrong with one Backup, Restore, schedule or repository does not end the operator: it stands in the object's
conditions, with one of the [reasons](reference.md#reasons) of the reference. These end a command, or are retried.
"""

Kind = type[EngineError] | type[OperatorError]


def page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD, _ENGINE, *_table(EngineError), "", _OPERATOR, *_table(OperatorError)]
    return "\n".join(parts) + "\n"


def tree(root: Kind, depth: int = 0) -> Iterator[tuple[Kind, int]]:
    """Yield a class and all below it in its module, in the order they are written, each with how deep it stands."""
    yield root, depth
    for kind in root.__subclasses__():
        if kind.__module__ == root.__module__:
            yield from tree(kind, depth + 1)


def explained(kind: Kind) -> tuple[str, str]:
    """Return what a class means and what to do, as its own docstring says.

    Raises:
        ValueError: It says only one of them, or nothing.
    """
    meaning, _, to_do = " ".join((kind.__dict__.get("__doc__") or "").split()).partition(_TO_DO)
    if not (meaning and to_do):
        raise ValueError(
            f"{kind.__name__}: the docstring must say what it means and, after `{_TO_DO}`, what to do"
        )
    return meaning.strip(), to_do.strip()


def _table(root: Kind) -> list[str]:
    head = ["| class | exit code | retryable | meaning | what to do |", "|---|---|---|---|---|"]
    return [*head, *(_row(kind, depth) for kind, depth in tree(root))]


def _row(kind: Kind, depth: int) -> str:
    meaning, to_do = explained(kind)
    name = "&nbsp;" * 4 * depth + f"`{kind.__name__}`"
    cells = (name, str(kind.exit_code), "yes" if kind.retryable else "no", meaning, _sentence(to_do))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
