"""A soak: schedules back up a fleet while the operator is killed at random; then it is left in peace."""

import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

from becalm_operator.api.backup import Phase
from e2e import checks, toolchain
from e2e.faults.watch import Seen, Watch
from e2e.kubectl import require
from e2e.lab import Lab, lab
from e2e.paths import SetUpError
from e2e.shell import say
from e2e.soak.fleet import Fleet, fleet
from e2e.soak.gauges import Reading, calls_per_backup, read_calls, read_memory

_READ_SECONDS = 30.0
_KILL_SECONDS = (60.0, 150.0)
"""Between two kills; a successor in another pod waits half a minute for the Lease."""
_REST_SECONDS = 900


def soak(backups: int) -> None:
    """Have so many Backups end: the first half with kills, the second without, to see whether memory stays.

    Raises:
        SetUpError: A Backup failed, a workload is not up, or a repository is not sound.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was opened is closed
    toolchain.ensure()
    here = lab()
    here.cluster.up()
    here.install()
    ships = fleet(here)
    try:
        ships.open()
        with Watch(here.cluster.kubeconfig) as watch:
            readings = _Soak(here, watch).run(ships, backups)
            _judge(ships, watch, readings)
    finally:
        ships.close()


class _Soak:
    def __init__(self, here: Lab, watch: Watch) -> None:
        self._here = here
        self._watch = watch
        self._began = time.monotonic()
        self._kills = 0
        self._dice = random.Random()
        self._readings: list[Reading] = []

    def run(self, ships: Fleet, backups: int) -> list[Reading]:
        ships.suspend(suspended=False)
        self._until(lambda: self._ended() >= backups // 2, kill=True)
        self._until(lambda: self._ended() >= backups, kill=False)
        ships.suspend(suspended=True)
        self._until(self._all_ended, kill=False)
        return self._readings

    def _until(self, over: Callable[[], bool], *, kill: bool) -> None:
        started = time.monotonic()
        read_at, kill_at = started, started + self._dice.uniform(*_KILL_SECONDS)
        while not over():
            now = time.monotonic()
            if kill and now >= kill_at:
                self._kill()
                kill_at = now + self._dice.uniform(*_KILL_SECONDS)
            if now >= read_at:
                self._read()
                read_at = now + _READ_SECONDS
            time.sleep(0.5)
        self._read()

    def _kill(self) -> None:
        """Kill it outright. Its pod goes as well: a container that is killed often comes back ever later."""
        self._here.kill_operator()
        selector = "app.kubernetes.io/name=becalm"
        self._here.kubectl("delete", "pods", "-l", selector, "--force", "--grace-period=0", "--wait=false")
        self._kills += 1

    def _read(self) -> None:
        try:
            memory, calls = read_memory(self._here), read_calls(self._here)
        except SetUpError:  # it has just been killed
            return
        seconds = time.monotonic() - self._began
        self._readings.append(Reading(seconds, self._ended(), self._kills, memory, calls))
        print(_line(self._readings[-1]), flush=True)

    def _ended(self) -> int:
        return sum(seen.phase.finished for seen in self._watch.runs())

    def _all_ended(self) -> bool:
        return all(seen.phase.finished for seen in self._watch.runs())


def _line(reading: Reading) -> str:
    return (
        f"   {reading.seconds:6.0f} s  {reading.ended:4} ended  {reading.kills:2} kills"
        f"  {reading.memory_mib:6.1f} MiB  {reading.calls:7} calls"
    )


def _judge(ships: Fleet, watch: Watch, readings: list[Reading]) -> None:
    runs = watch.runs()
    say(f"Backups: {dict(Counter(str(seen.phase) for seen in runs))}")
    _tell_costs(readings)
    for shop in ships.shops:
        for workload in shop.workloads:
            shop.await_ready(workload, seconds=_REST_SECONDS)
        checks.nothing_is_held(shop)
        checks.restic_snapshots(shop)
    failed = [seen for seen in runs if seen.phase is not Phase.SUCCEEDED]
    require(not failed, f"these did not succeed: {_shown(failed)}")
    say("all workloads are up, no record and no finalizer is left, restic finds no fault in the repositories")


def _tell_costs(readings: list[Reading]) -> None:
    peaceful = [reading for reading in readings if reading.kills == readings[-1].kills]
    middle = peaceful[len(peaceful) // 2]
    for title, part in (("first", (peaceful[0], middle)), ("second", (middle, peaceful[-1]))):
        memory = f"{part[0].memory_mib:.1f} to {part[1].memory_mib:.1f} MiB"
        say(
            f"since the last kill, {title} half: {memory}, {calls_per_backup(*part):.0f} API calls for each Backup"
        )


def _shown(runs: list[Seen]) -> str:
    return "; ".join(f"{seen.name} {' '.join(seen.phases)}" for seen in runs[:5])
