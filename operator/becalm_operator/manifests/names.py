"""Names of the objects that becalm makes: computed, so that making one again is the same one."""

import hashlib

_MOST_CHARS = 63
_DIGEST_CHARS = 8


def job_name(owner: str, uid: str, role: str, part: str = "") -> str:
    """Return the name of a run's Job: readable, and as unique as the run's UID."""
    digest = hashlib.sha256(f"{uid}/{role}/{part}".encode()).hexdigest()[:_DIGEST_CHARS]
    readable = "-".join(text for text in (owner, role, part) if text).replace(".", "-")
    return f"{readable[: _MOST_CHARS - _DIGEST_CHARS - 1].rstrip('-')}-{digest}"
