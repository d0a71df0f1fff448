import pytest

from becalm_engine import errors
from becalm_engine.errors import EngineError

ALL: list[type[EngineError]] = [
    kind  # type: ignore[misc]  # that each is one of ours is what the first test proves
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_belongs_to_the_one_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, EngineError)


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        (errors.RepositoryMissingError, 10),
        (errors.LockedError, 11),
        (errors.WrongPasswordError, 12),
        (errors.StoppedError, 130),
    ],
)
def test_errors_that_scripts_tell_apart_have_restic_s_exit_codes(
    kind: type[EngineError], exit_code: int
) -> None:
    assert kind.exit_code == exit_code


def test_all_other_errors_end_with_1() -> None:
    special = {10, 11, 12, 130}

    codes = {kind.exit_code for kind in ALL if kind.exit_code not in special}

    assert codes == {1}


def test_only_what_may_pass_by_itself_is_retryable() -> None:
    retryable = {kind for kind in ALL if kind.retryable}

    assert retryable == {
        errors.LockedError,
        errors.StoppedError,
        errors.StorageUnavailableError,
        errors.WorkerLostError,
    }


@pytest.mark.parametrize("kind", ALL)
def test_the_table_in_the_module_s_docstring_names_every_error(kind: type[Exception]) -> None:
    assert kind.__name__ in (errors.__doc__ or "").split()
