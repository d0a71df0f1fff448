import json
import logging
import sys
from collections.abc import Iterator

import pytest

from becalm_operator.errors import SettingsError
from becalm_operator.handlers.logs import JsonFormatter, configure


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("kopf", "asyncio", "aiohttp", "kopf._core.reactor.running"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_json_line_holds_what_is_asked_for_later() -> None:
    record = logging.LogRecord("becalm", logging.WARNING, "", 0, "%s\nfailed", ("x",), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert {"level": "WARNING", "logger": "becalm", "message": "x\nfailed"}.items() <= json.loads(
        line
    ).items()


def test_a_json_line_holds_the_traceback() -> None:
    try:
        int("bug")
    except ValueError:
        record = logging.LogRecord("becalm", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    assert "ValueError: " in json.loads(JsonFormatter().format(record))["exception"]


def test_logs_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")
    logging.getLogger("becalm").info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"


def test_kopf_tells_of_its_troubles_alone(capsys: pytest.CaptureFixture[str]) -> None:
    configure("DEBUG", "text")
    logging.getLogger("kopf.objects").info("an object")
    logging.getLogger("kopf._core.reactor.running").warning("OS signals are ignored")
    logging.getLogger("kopf.objects").warning("trouble")
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(SettingsError, match="BECALM_LOG_LEVEL=LOUD"):
        configure("LOUD", "text")
