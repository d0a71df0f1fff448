"""What the API server says of a command's end."""

from typing import Any

import pytest

from becalm_operator.cluster.commands import ended_as
from becalm_operator.plan.world import HookState


def failure(**fields: Any) -> dict[str, Any]:
    return {"status": "Failure", "message": "told", **fields}


@pytest.mark.parametrize(
    ("status", "exit_code", "error"),
    [
        ({"status": "Success"}, 0, ""),
        (failure(details={"causes": [{"reason": "ExitCode", "message": "137"}]}), 137, ""),
        (failure(details={"causes": [{"reason": "ExitCode", "message": "many"}]}), None, "told"),
        (failure(details={"causes": []}), None, "told"),
        (failure(details=None), None, "told"),
        (failure(message=""), None, "the command could not be run"),
        ({}, None, ""),
    ],
)
def test_a_status_is_an_exit_code_an_error_or_nothing(
    status: dict[str, Any], exit_code: int | None, error: str
) -> None:
    assert ended_as(status, "out") == HookState(ended=True, exit_code=exit_code, output="out", error=error)
