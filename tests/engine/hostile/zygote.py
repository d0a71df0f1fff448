"""Runs commands of becalm as processes of their own, bounded in time and memory, without paying for the imports.

Reads one JSON document a line, forks, and writes how the child ended as one line.
"""

import json
import os
import resource
import signal
import sys
import time
from typing import Any

from becalm_engine.cli import entry
from becalm_engine.repository import lock

_POLL_SECONDS = 0.002


def main() -> None:
    lock._SETTLE_SECONDS = 0.0
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            _run(job)
        sys.stdout.write(json.dumps(_waited(child, job)) + "\n")
        sys.stdout.flush()


def _run(job: dict[str, Any]) -> None:
    os.chdir(job["folder"])
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = 99
    try:
        status = entry.run_command(job["arguments"], job["environment"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _waited(child: int, job: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    signalled = False
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            break
        spent = time.monotonic() - started
        if job["stop_seconds"] and spent > job["stop_seconds"] and not signalled:
            os.kill(child, signal.SIGTERM)
            signalled = True
        if spent > job["seconds"]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {"status": None, "peak_bytes": 0}
        time.sleep(_POLL_SECONDS)
    return {"status": os.waitstatus_to_exitcode(status), "peak_bytes": used.ru_maxrss * 1024}


if __name__ == "__main__":
    main()
