"""`becalm generate`: writes the scripts for shells."""

from pathlib import Path

from becalm_engine.cli import completion, parser
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import Report
from becalm_engine.errors import UsageError

_SHELLS = {"bash": completion.bash, "zsh": completion.zsh, "fish": completion.fish}


def generate(session: Session, output: Output, _: Progress) -> Report:
    """Write completion scripts; a repository is not needed."""
    given = vars(session.arguments)
    wanted = {shell: given[f"{shell}_completion"] for shell in _SHELLS if given[f"{shell}_completion"]}
    if not wanted:
        raise UsageError("nothing to do: give --bash-completion, --zsh-completion or --fish-completion")
    if list(wanted.values()).count("-") > 1:
        raise UsageError("only one script can be written to standard output")
    commands = completion.described(parser.build({}))
    for shell, path in wanted.items():
        script = _SHELLS[shell](commands)
        if path == "-":
            output.out.write(script)
            output.out.flush()
        else:
            Path(path).write_text(script)
            output.say(f"wrote {path}")
    return Report()
