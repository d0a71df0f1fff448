"""All volumes of one Backup show one instant: seen in an application whose files must agree."""

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.image import IMAGE
from e2e.instant import ledger, verdict
from e2e.shop import Shop, backup, claim, restore

pytestmark = pytest.mark.cluster

_FRESH = {"web": "fresh-web", "db": "fresh-db"}


def _audited(shop: Shop) -> dict[str, verdict.Copy]:
    shop.kubectl.apply(ledger.auditor(_FRESH, IMAGE))
    shop.kubectl("wait", f"pod/{ledger.AUDITOR}", "--for=condition=Ready", "--timeout=60s", seconds=70)
    return verdict.read(shop.kubectl.exec(ledger.AUDITOR, *ledger.LOOK))


def test_pairs_of_files_and_two_volumes_agree_after_a_restore(make_shop: MakeShop) -> None:
    web, db = ledger.web(), ledger.db()
    shop = make_shop(db, web)  # in this order: `web` is told where the Service of `db` is
    shop.open_repository()
    shop.kubectl.apply(
        backup("agreed", [web, db])
    )  # afterwards `db` has all that `web` has, and nothing more
    status = shop.await_end("backup", "agreed")
    assert status["phase"] == "Succeeded", status

    shop.kubectl.apply(*(claim(name) for name in _FRESH.values()))
    into = restore("elsewhere", "agreed", [])
    into["spec"]["targets"] = [
        {"claim": workload.claim, "to": _FRESH[workload.name]} for workload in (web, db)
    ]
    shop.kubectl.apply(into)
    assert shop.await_end("restore", "elsewhere")["phase"] == "Succeeded"

    copies = _audited(shop)
    assert set(copies) == set(_FRESH)
    for name, copy in copies.items():
        assert copy.torn == [], name
        assert copy.is_of_one_instant, (name, copy.numbers)
    assert copies["web"].newest == copies["db"].newest
    checks.nothing_is_held(shop)
