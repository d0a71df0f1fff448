"""What runs in the pods of the ledger: `web` numbers entries, `db` books each of them first; `alone` has no `db`.

Each of the two writes an entry into two files in distant folders, one after the other: in a crash they may disagree, at
a standstill never. Nothing else of this project is imported: the file is handed to a bare Python.
"""

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

DATA = Path("/data")
SIDES = ("accounts/by/name/deep/down", "zones/by/number")
SLOTS = 64
PORT = 7000
_LOOK_SECONDS = 0.2


class Stop:
    """Set by SIGTERM; looked at between two entries."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


def write(number: int) -> None:
    """Write an entry: the same number to both sides."""
    for side in SIDES:
        (DATA / side / f"{number % SLOTS:02}").write_text(f"{number}\n")


def be_ready() -> None:
    """Say so to the kubelet."""
    Path("/tmp/ready").touch()


def newest() -> int:
    """Return the newest number there is, 0 if none."""
    files = [path for side in SIDES for path in (DATA / side).iterdir()]
    return max((int(path.read_text() or 0) for path in files), default=0)


def be_web(stop: Stop, pause_seconds: float) -> None:
    """Number entries: one is written here when `db` has written it."""
    with _call(stop) as line:

        def book(number: int) -> None:
            line.sendall(f"{number}\n".encode())
            if line.recv(64) != f"{number}\n".encode():
                sys.exit("db has hung up")

        _number(stop, pause_seconds, book)


def _call(stop: Stop) -> socket.socket:
    while True:
        try:
            return socket.create_connection((os.environ["DB_SERVICE_HOST"], PORT))
        except OSError:  # it is not up yet
            if stop.asked:
                sys.exit()
            time.sleep(_LOOK_SECONDS)


def be_alone(stop: Stop, pause_seconds: float) -> None:
    """Number entries, and ask nobody."""
    _number(stop, pause_seconds, lambda _: None)


def _number(stop: Stop, pause_seconds: float, book: Callable[[int], None]) -> None:
    number = newest()
    while not stop.asked:
        number += 1
        book(number)
        write(number)
        if number >= SLOTS:
            be_ready()
        time.sleep(pause_seconds)


def be_db(stop: Stop) -> None:
    """Write what `web` sends, and say so."""
    with socket.create_server(("", PORT)) as server:
        server.settimeout(_LOOK_SECONDS)
        while not stop.asked:
            try:
                line, _ = server.accept()
            except TimeoutError:
                continue
            with line:
                line.settimeout(_LOOK_SECONDS)
                _serve(line, stop)


def _serve(line: socket.socket, stop: Stop) -> None:
    while not stop.asked:
        try:
            entry = line.recv(64)
        except TimeoutError:
            continue
        except ConnectionError:
            return
        if not entry:
            return
        write(int(entry))
        line.sendall(entry)


def stand_by(stop: Stop) -> IO[str]:
    """Wait for the claim's only pen: of several replicas one writes, and the others are ready to."""
    pen = (DATA / "pen").open("w")
    while not stop.asked:
        try:
            fcntl.flock(pen, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            be_ready()
            time.sleep(_LOOK_SECONDS)
        else:
            break
    return pen


def main() -> None:
    """Be what the first argument says, until SIGTERM. Then: seconds between entries, to get going, and to end."""
    role, pause, start, end = sys.argv[1], *map(float, sys.argv[2:])
    stop = Stop()
    for side in SIDES:
        (DATA / side).mkdir(parents=True, exist_ok=True)
    time.sleep(start)
    with stand_by(stop):
        if role == "db":
            be_ready()  # or `web` would never reach it
            be_db(stop)
        elif role == "web":
            be_web(stop, pause)
        else:
            be_alone(stop, pause)
    time.sleep(end)


if __name__ == "__main__":
    main()
