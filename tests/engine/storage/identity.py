"""The services that give out credentials: STS, and what instances and containers ask."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from tests.engine.storage.http_server import Answer, Request

_STS = (
    "<{action}Response><{action}Result><Credentials><AccessKeyId>AKIDROLE{number}</AccessKeyId>"
    "<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>token {number}</SessionToken>"
    "<Expiration>{expires}</Expiration></Credentials></{action}Result></{action}Response>"
)


def in_time(seconds: float) -> str:
    """Return a moment as AWS writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class StsServer:
    """Gives out a new identity each time, which is good for `seconds`."""

    def __init__(self, seconds: float = 3600, secret: str = "role's secret") -> None:
        self.asked: list[dict[str, str]] = []
        self._seconds = seconds
        self._secret = secret
        self._numbers = itertools.count(1)

    def __call__(self, request: Request) -> Answer:
        given = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        signed = request.headers.get("authorization")
        self.asked.append({**given, "signed by": request.signed_for[0] if signed else ""})
        text = _STS.format(
            action=given["Action"],
            number=next(self._numbers),
            secret=self._secret,
            expires=in_time(self._seconds),
        )
        return Answer(200, text.encode(), {"Content-Type": "text/xml"})


class MetadataServer:
    """What EC2 (with a session's token first) and ECS tell those who run there."""

    def __init__(self, seconds: float = 3600) -> None:
        self._seconds = seconds
        self._numbers = itertools.count(1)

    def __call__(self, request: Request) -> Answer:
        if request.path == "/latest/api/token":
            return Answer(200, b"session", {"x-aws-ec2-metadata-token-ttl-seconds": "21600"})
        if request.path == "/container" and request.headers.get("authorization") == "container token":
            return self._credentials()
        if request.headers.get("x-aws-ec2-metadata-token") != "session":
            return Answer(401)
        if request.path.endswith("/security-credentials/"):
            return Answer(200, b"backup-role")
        if request.path.endswith("/security-credentials/backup-role"):
            return self._credentials()
        return Answer(404)

    def _credentials(self) -> Answer:
        document = {
            "Code": "Success",
            "AccessKeyId": f"AKIDHERE{next(self._numbers)}",
            "SecretAccessKey": "instance's secret",
            "Token": "instance's token",
            "Expiration": in_time(self._seconds),
        }
        return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})
