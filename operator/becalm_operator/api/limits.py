"""What one repository may be asked for at once, and what a run takes of it."""

from typing import Annotated

from pydantic import Field

from becalm_operator.api.base import Model

_Rate = Annotated[int, Field(ge=1, le=1_000_000_000)]


class RepositoryLimits(Model):
    """What movers may take, so that a night's backups do not fill the line or the nodes."""

    upload_kib_per_second: Annotated[_Rate | None, Field(alias="uploadKiBPerSecond")] = None
    """How fast one mover uploads, in KiB; absent for as fast as it can."""
    download_kib_per_second: Annotated[_Rate | None, Field(alias="downloadKiBPerSecond")] = None
    """How fast one mover downloads, in KiB; absent for as fast as it can."""
    max_concurrent_movers: Annotated[int, Field(ge=1, le=1000)] = 4
    """How many movers may work at once; a Backup or Restore has one for each claim, and one for each dump before that.
    Runs beyond that wait in a queue, Restores before Backups. One that needs more by itself runs alone, with all its
    movers: holding some of them back would keep its workloads down for longer."""


class Needs(Model):
    """What a run takes of the limits."""

    movers: Annotated[int, Field(ge=0)] = 0
    """How many movers of its repository."""
    workloads: Annotated[int, Field(ge=0)] = 0
    """How many workloads it holds down at once."""
