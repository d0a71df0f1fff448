"""Snapshots whose files are damaged: each is told, with the way to be rid of it, and the others are gone on with."""

from becalm_engine.cli.output import Output
from becalm_engine.contract import ExitCode, Problem, Report
from becalm_engine.errors import EngineError
from becalm_engine.repository.repository import Broken
from becalm_engine.repository.snapshots import only_damaged, way_out_of


def passed_over(output: Output, during: str) -> Broken:
    """Return what tells of a damaged snapshot that a command passes over."""

    def tell(name: str, error: EngineError) -> None:
        reason = f"{error}; {way_out_of(name)}"
        output.error(during, name, reason, shown=f"passing over snapshot {name[:8]}: {reason}")

    return only_damaged(tell)


class PassedOver:
    """Tells of damaged snapshots that a command passes over though it was to work on them: it fails by that."""

    def __init__(self, output: Output, during: str) -> None:
        self.errors: list[EngineError] = []
        self._tell = passed_over(output, during)
        self._output = output
        self._during = during

    def __call__(self, name: str, error: EngineError) -> None:
        """Tell of one."""
        self._tell(name, error)
        self.errors.append(error)

    def report(self) -> Report:
        """Return the report of a command that has done all else."""
        if not self.errors:
            return Report()
        message = f"{self._during} passed over {len(self.errors)} damaged snapshots: {self.errors[0]}"
        self._output.warn(f"Warning: {message}")
        problem = Problem(type(self.errors[0]).__name__.removesuffix("Error"), message)
        return Report(exit_code=ExitCode.ERROR, error=problem)
