"""What becomes of the client's exceptions."""

import pytest
from kubernetes.aio.client.exceptions import ApiException

from becalm_operator.cluster.translate import translated
from becalm_operator.errors import (
    ClusterError,
    ConflictError,
    ExpiredError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnavailableError),
        (403, RefusedError),
        (404, NotFoundError),
        (408, UnavailableError),
        (409, ConflictError),
        (410, ExpiredError),
        (422, RefusedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (None, UnavailableError),
    ],
)
def test_an_answer_says_whether_it_is_worth_asking_again(
    status: int | None, kind: type[ClusterError]
) -> None:
    with pytest.raises(kind, match="listing pods") as told, translated("listing pods"):
        raise ApiException(status=status, reason="no")

    assert type(told.value) is kind
