"""Go's RFC 3339 times with nanoseconds, held as nanoseconds since 1970 in UTC.

becalm writes the times of files in UTC, so that hosts in different zones share tree blobs. The time of a snapshot has
the offset of where it was made, since retention counts days there.
"""

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from becalm_engine.errors import DamagedError

NANOS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -62_167_219_200  # 0000-01-01T00:00:00Z; Go refuses to encode years outside 0..9999
_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_PATTERN = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def encode(nanos: int) -> str:
    """Return the time as Go writes it in UTC; years outside 0..9999 are brought inside."""
    seconds, fraction = divmod(nanos, NANOS)
    text = _seconds_text(seconds)
    if fraction % 10:
        return f"{text}.{fraction:09d}Z"
    if fraction:
        return f"{text}.{fraction:09d}".rstrip("0") + "Z"
    return text + "Z"


def encode_in(nanos: int, zone: timezone) -> str:
    """Return the time as Go writes it in a zone; an offset has no seconds, and that of UTC is Z."""
    minutes = int((zone.utcoffset(None) or timedelta()).total_seconds() / 60)
    if not minutes:
        return encode(nanos)
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"{encode(nanos + minutes * 60 * NANOS)[:-1]}{sign}{hours:02d}:{rest:02d}"


def local_offset(seconds: int) -> int:
    """Return by how many seconds the zone of this process is ahead of UTC at a moment, in seconds since 1970."""
    return time.localtime(seconds).tm_gmtoff


def local_zone(nanos: int) -> timezone:
    """Return the offset of this process' zone at a moment, in whole minutes."""
    return timezone(timedelta(minutes=int(local_offset(nanos // NANOS) / 60)))


def from_datetime(aware: datetime) -> int:
    """Return the nanoseconds since 1970 of a time with a zone."""
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000


@lru_cache(maxsize=4096)
def _seconds_text(seconds: int) -> str:
    t = time.gmtime(min(max(seconds, _FIRST), _LAST))
    date = f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}"
    return f"{date}T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"


def decode(text: object) -> int:
    """Return the nanoseconds since 1970 of a time in any zone.

    Raises:
        DamagedError: It is no RFC 3339 time.
    """
    # almost all times are ours: in UTC, and many in one second
    if (
        isinstance(text, str)
        and text[19:20] == "."
        and text[-1] == "Z"
        and (digits := text[20:-1]).isdecimal()
    ):
        return _decoded(text[:19] + "Z")[0] + int(digits if len(digits) == 9 else digits[:9].ljust(9, "0"))
    return _decoded(_text(text))[0]


def _fraction(digits: str) -> int:
    return int(digits[:9].ljust(9, "0"))


def decode_with_zone(text: object) -> tuple[int, timezone]:
    """Return the nanoseconds since 1970 and the zone it was written in.

    Raises:
        DamagedError: It is no RFC 3339 time.
    """
    nanos, offset_minutes = _decoded(_text(text))
    return nanos, timezone(timedelta(minutes=offset_minutes))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise DamagedError(f"{value!r:.60} is not a time")
    return value


@lru_cache(maxsize=16384)
def _decoded(text: str) -> tuple[int, int]:
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise DamagedError(f"{text!r:.60} is not a time")
    year, month, day, hour, minute, second = (int(match[n]) for n in range(1, 7))
    zone = match[8]
    offset = 0 if zone == "Z" else int(zone[0] + "1") * (int(zone[1:3]) * 60 + int(zone[4:6]))
    if hour > 23 or minute > 59 or second > 59 or abs(offset) >= 24 * 60:
        raise DamagedError(f"{text!r:.60} is not a time")
    seconds = _days(text, year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    return (seconds - offset * 60) * NANOS + _fraction(match[7] or "0"), offset


def _days(text: str, year: int, month: int, day: int) -> int:
    """Count days since 1970; Python's calendar has no year 0, which Go writes for its zero time."""
    shift = 400 if year == 0 else 0
    try:
        date = datetime(year + shift, month, day, tzinfo=UTC)
    except ValueError:
        raise DamagedError(f"{text!r:.60} is not a time") from None
    return (date - _EPOCH).days - (146_097 if shift else 0)
