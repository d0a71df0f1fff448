"""Lock documents: who works on the repository, and whether alone."""

from dataclasses import dataclass

from becalm_engine.errors import DamagedError
from becalm_engine.format import gotime
from becalm_engine.format.documents import INT64, UINT32, number_of, parse_object, text_of
from becalm_engine.format.gojson import string
from becalm_engine.format.shown import shown_text


@dataclass(frozen=True, slots=True)
class Lock:
    """One process's claim. `time_nanos` moves with each refresh."""

    time_nanos: int
    exclusive: bool
    hostname: str
    username: str
    pid: int
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        """Say who holds it, for people."""
        how = "exclusively locked" if self.exclusive else "locked"
        host, user, when = (
            shown_text(self.hostname),
            shown_text(self.username),
            gotime.encode(self.time_nanos),
        )
        return f"{how} by PID {self.pid} on {host} by {user} at {when}"


def encode(lock: Lock) -> bytes:
    """Return the JSON of a lock."""
    fields = [
        f'"time":"{gotime.encode(lock.time_nanos)}"',
        f'"exclusive":{"true" if lock.exclusive else "false"}',
        f'"hostname":{string(lock.hostname)}',
        f'"username":{string(lock.username)}',
        f'"pid":{lock.pid}',
    ]
    fields += [f'"uid":{lock.uid}'] if lock.uid else []
    fields += [f'"gid":{lock.gid}'] if lock.gid else []
    return ("{" + ",".join(fields) + "}").encode()


def decode(text: bytes) -> Lock:
    """Return the lock in `text`.

    Raises:
        DamagedError: It is not one.
    """
    document = parse_object(text, "lock")
    exclusive = document.get("exclusive")
    if not isinstance(exclusive, bool):
        raise DamagedError("lock: it does not say whether it is exclusive")
    return Lock(
        gotime.decode(document.get("time")),
        exclusive,
        text_of(document, "hostname", "lock", ""),
        text_of(document, "username", "lock", ""),
        number_of(document, "pid", "lock", 0, largest=INT64),
        number_of(document, "uid", "lock", 0, largest=UINT32),
        number_of(document, "gid", "lock", 0, largest=UINT32),
    )
