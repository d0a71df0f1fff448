"""Logging: text for people, JSON lines for machines, both to stderr."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from becalm_operator.errors import SettingsError

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_TAMED = ("kopf", "asyncio", "aiohttp")
"""They tell of their inner life below WARNING, and kopf of objects too."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Set up logging for the process.

    Raises:
        SettingsError: There is no such level.
    """
    if level not in _LEVELS:
        raise SettingsError(f"BECALM_LOG_LEVEL={level} is none of {', '.join(_LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TAMED:
        logging.getLogger(name).setLevel(logging.WARNING)
    # "OS signals are ignored": so they should be, they are ours
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
