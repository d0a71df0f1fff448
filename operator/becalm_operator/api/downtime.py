"""How long workloads were down, and how long they will be."""

from typing import Annotated

from pydantic import Field

from becalm_operator.api.base import Model

Seconds = Annotated[int, Field(ge=0)]


class DowntimeParts(Model):
    """What the downtime was spent on. The parts add up to it."""

    drain_seconds: Seconds = 0
    """From the first stop until no pod held the claims any more."""
    capture_seconds: Seconds = 0
    """While the volumes were read; in a Restore, written."""
    start_seconds: Seconds = 0
    """From the first start until the last workload was Ready again."""


class Forecast(Model):
    """What earlier Backups of the same workloads let expect."""

    downtime_seconds: Seconds
    """The middle one of their downtimes."""
    shortest_seconds: Seconds
    """The shortest of them."""
    longest_seconds: Seconds
    """The longest of them."""
    runs: Annotated[int, Field(ge=1)]
    """How many they are."""
