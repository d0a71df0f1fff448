"""What runs in the pods of the ledger: `web` numbers entries, `db` books each of them first.

Each of the two writes an entry into two files in distant folders, one after the other: in a crash they may disagree, at
a standstill never. Nothing else of this project is imported: the file is handed to a bare Python.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

DATA = Path("/data")
SIDES = ("accounts/by/name/deep/down", "zones/by/number")
SLOTS = 64
PORT = 7000
_PAUSE_SECONDS = 0.002
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
    if number >= SLOTS:
        Path("/tmp/ready").touch()


def newest() -> int:
    """Return the newest number there is, 0 if none."""
    files = [path for side in SIDES for path in (DATA / side).iterdir()]
    return max((int(path.read_text() or 0) for path in files), default=0)


def be_web(stop: Stop) -> None:
    """Number entries: one is written here when `db` has written it."""
    number = newest()
    with socket.create_connection((os.environ["DB_SERVICE_HOST"], PORT)) as line:
        while not stop.asked:
            number += 1
            line.sendall(f"{number}\n".encode())
            if line.recv(64) != f"{number}\n".encode():
                sys.exit("db has hung up")
            write(number)
            time.sleep(_PAUSE_SECONDS)


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


def main() -> None:
    """Be what the first argument says, until SIGTERM."""
    stop = Stop()
    for side in SIDES:
        (DATA / side).mkdir(parents=True, exist_ok=True)
    if sys.argv[1] == "db":
        Path("/tmp/ready").touch()  # or `web` would never reach it
        be_db(stop)
    else:
        be_web(stop)


if __name__ == "__main__":
    main()
