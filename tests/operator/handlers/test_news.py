from typing import Any

import pytest

from becalm_operator.api.backup import Backup
from becalm_operator.cluster.port import Key
from becalm_operator.handlers.news import News

RUN = Key("Backup", "shop", "one")


def event(version: str | None, type_: str | None = "MODIFIED") -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "one"} | ({"resourceVersion": version} if version else {})
    return {"type": type_, "object": {"metadata": metadata}}


def a_backup(version: str) -> Backup:
    spec = {"repositoryRef": {"name": "main"}, "workloads": [{"kind": "Deployment", "name": "web"}]}
    metadata = {"namespace": "shop", "name": "one", "uid": "u", "resourceVersion": version}
    return Backup.model_validate({"metadata": metadata, "spec": spec})


@pytest.mark.parametrize("type_", [None, "ADDED", "MODIFIED"])
def test_what_was_seen_last_is_no_news_and_all_else_is(type_: str | None) -> None:
    news = News()
    assert news.is_news(RUN, event("7", type_))

    news.saw(RUN, a_backup("7"))

    assert not news.is_news(RUN, event("7", type_))
    assert news.is_news(RUN, event("8", type_))
    assert news.is_news(RUN, event("6", type_))
    assert news.is_news(RUN, event(None, type_))
    assert news.is_news(Key("Restore", "shop", "one"), event("7", type_))


def test_an_end_is_always_news() -> None:
    news = News()
    news.saw(RUN, a_backup("7"))
    assert news.is_news(RUN, event("7", "DELETED"))


def test_what_is_gone_is_forgotten() -> None:
    news = News()
    news.saw(RUN, a_backup("7"))
    news.saw(RUN, None)
    news.saw(RUN, None)
    assert news.is_news(RUN, event("7"))
