"""As whom a mover reads or writes a volume, where it is not root."""

from typing import Annotated

from pydantic import Field

from becalm_operator.api.base import Model

MOST_GROUPS = 64
"""How many a status has room for."""


class Identity(Model):
    """The user and groups of a workload's pods, as far as files are concerned."""

    run_as_user: int | None = None
    """The user's number; absent if the pod leaves it to its image, or its containers do not agree."""
    run_as_group: int | None = None
    """The group's number."""
    fs_group: int | None = None
    """The group that volumes are given to."""
    supplemental_groups: Annotated[tuple[int, ...], Field(max_length=MOST_GROUPS)] = ()
    """More groups."""
    se_linux_options: dict[str, str] = {}
    """SELinux's labels."""

    def __str__(self) -> str:
        return f"user {self.run_as_user}"
