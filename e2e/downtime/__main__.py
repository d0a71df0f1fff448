"""How long a workload is down: with becalm, with a script around restic, and with neither, stopped and started alone.

`python -m e2e.downtime`, as root or where Docker is: about ten minutes. With a smaller size it is a trial.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from e2e import toolchain
from e2e.downtime.outage import Seen, measured
from e2e.downtime.page import ALONE, page
from e2e.downtime.ways import FILES, WEB, Ways
from e2e.lab import lab
from e2e.objects import Document
from e2e.paths import ROOT
from e2e.shell import say
from e2e.shop import Shop

_NAMESPACE = "downtime"
_PAGE = ROOT / "docs" / "downtime.md"
_OLD_SECONDS = 65
"""A first pass has everything read again that changed in the minute before it; a volume is rarely as new as that."""
_BY_RESTIC = "scale down, `restic backup` in a Job, scale up"
_SPECS: Mapping[str, tuple[str, Document]] = {
    "ahead": ("becalm", {}),
    "direct": ("becalm, `preCopy: false`", {"quiesce": {"preCopy": False}}),
    "snapshot": ("becalm, `capture: Snapshot`", {"capture": "Snapshot"}),
}
"""The ways of becalm, by the name of the repository."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Measures each way: the first backup into an empty repository, and then incremental ones."""

    ways: Ways
    repeats: int
    found: dict[str, list[Seen]] = field(default_factory=dict)
    copied_seconds: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def run(self, mib: int) -> str:
        """Measure all ways with a claim of so many MiB; return the page."""
        self._say(f"filling a claim with {mib} MiB in {FILES:,} files")
        self.ways.open((mib << 20) // FILES)
        self._say("letting its files grow older than what a first pass has read again")
        time.sleep(_OLD_SECONDS)
        self._measure(ALONE, self.ways.alone)
        for name, (title, spec) in _SPECS.items():
            with self.ways.store(name) as bucket:
                self.ways.open_repository(bucket)
                self._measure(title, partial(self._becalm, bucket, spec))
        with self.ways.store("restic") as bucket:
            self.ways.open_restic(bucket)
            self._measure(_BY_RESTIC, partial(self.ways.script, bucket))
        return page(mib, FILES, self.found, self.copied_seconds)

    def _becalm(self, bucket: str, spec: Document) -> None:
        status = self.ways.becalm(bucket, spec)
        (volume,) = status["volumes"]
        assert volume.get("preCopied", False) is (not spec), status
        if "snapshot" in volume:
            self.copied_seconds.append(status["downtimeParts"]["captureSeconds"])

    def _measure(self, title: str, act: Callable[[], None]) -> None:
        seen = self.found.setdefault(title, [])
        for number in range(self.repeats + 1):
            seen.append(measured(self.ways.kubectl, WEB.name, act))
            done = f"{title}, {number + 1} of {self.repeats + 1}"
            self._say(f"{done}: down {seen[-1].downtime:.1f} s, no answer {seen[-1].outage:.1f} s")

    def _say(self, text: str) -> None:
        say(f"{time.monotonic() - self.began:4.0f} s  {text}")


def main() -> None:
    """Measure on the real cluster, print the page, and write it."""
    arguments = _parser().parse_args()
    toolchain.ensure()
    here = lab()
    here.cluster.up()
    here.install()
    shop = Shop(here.kubectl.within(_NAMESPACE), here.s3, ())
    bench = Bench(Ways(shop, Path(here.places.binary("restic-0.19"))), arguments.repeats)
    try:
        text = bench.run(arguments.mib)
    finally:
        shop.close()
    print(text)
    if not arguments.trial:
        _PAGE.write_text(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.downtime", description=__doc__)
    parser.add_argument("--mib", type=int, default=4096, help="how much the claim holds, in MiB (4096)")
    parser.add_argument("--repeats", type=int, default=3, help="incremental backups of each way (3)")
    parser.add_argument("--trial", action="store_true", help="leave docs/downtime.md as it is")
    return parser


if __name__ == "__main__":
    main()
