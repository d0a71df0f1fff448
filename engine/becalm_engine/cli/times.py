"""Times as people write them, and as restic shows them: in the time zone of this process."""

import time
from datetime import UTC, datetime, timedelta, timezone

from becalm_engine.errors import UsageError
from becalm_engine.format.gotime import NANOS, from_datetime, local_offset, local_zone
from becalm_engine.format.snapshot import Snapshot

_FORMATS = ("%Y-%m-%d %H:%M:%S %z", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S %z")


def parse_time(text: str, flag: str) -> int:
    """Read a time, local if it names no zone; return nanoseconds since 1970.

    Raises:
        UsageError: It is none.
    """
    return parse_zoned(text, flag)[0]


def parse_zoned(text: str, flag: str) -> tuple[int, timezone]:
    """Read a time; return nanoseconds since 1970, and the zone that it names, or the local one at that time.

    Raises:
        UsageError: It is none.
    """
    try:
        return _zoned(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        pass
    for pattern in _FORMATS:
        try:
            return _zoned(datetime.strptime(text, pattern))  # noqa: DTZ007  a time without a zone is local
        except (ValueError, OverflowError):
            continue
    raise UsageError(
        f"{flag} {text!r} is not like '2026-11-01', '2026-11-01 03:00:00', '01.11.2026' or RFC 3339,"
        " or not of the years 1 to 9999 in UTC"
    )


def _zoned(parsed: datetime) -> tuple[int, timezone]:
    """Return the time and its zone; `ValueError` or `OverflowError` if it is outside the calendar in UTC."""
    if isinstance(parsed.tzinfo, timezone):
        nanos, zone = from_datetime(parsed), parsed.tzinfo
    else:
        nanos = _of_clock(from_datetime(parsed.replace(tzinfo=UTC)))
        zone = local_zone(nanos)
    datetime.fromtimestamp(nanos // NANOS, zone)
    return nanos, zone


def _of_clock(nanos: int) -> int:
    """Return when a local clock shows what a clock in UTC shows at `nanos`.

    Where it shows that twice or never, it is the time that restic takes: not `datetime`'s, which is the earlier one.
    """
    seconds = nanos // NANOS
    return nanos - local_offset(seconds - local_offset(seconds)) * NANOS


def local_text(nanos: int) -> str:
    """Return a time to the second, in this process' zone."""
    found = time.localtime(nanos // NANOS)
    date = f"{found.tm_year:04d}-{found.tm_mon:02d}-{found.tm_mday:02d}"
    return f"{date} {found.tm_hour:02d}:{found.tm_min:02d}:{found.tm_sec:02d}"


def zoned_text(snapshot: Snapshot) -> str:
    """Return a snapshot's time as Go prints it: nanoseconds, offset, and the zone's name if it is this process' own."""
    seconds, nanos = divmod(snapshot.time_nanos, NANOS)
    offset = int((snapshot.zone.utcoffset(None) or timedelta()).total_seconds())
    local = time.localtime(seconds)
    sign, minutes = "-" if offset < 0 else "+", abs(offset) // 60
    numbers = f"{sign}{minutes // 60:02d}{minutes % 60:02d}"
    name = "UTC" if offset == 0 else local.tm_zone if local.tm_gmtoff == offset else numbers
    fraction = f".{nanos:09d}".rstrip("0").rstrip(".")
    return f"{snapshot.local_time:%Y-%m-%d %H:%M:%S}{fraction} {numbers} {name}"
