"""Whom a request trusts: certificates that stand in the object itself, as in Kubernetes' own webhooks."""

import base64
import binascii
import ssl


def trusting(ca_bundle: str) -> ssl.SSLContext:
    """Return what checks a server by these authorities and no others. `ca_bundle` is base64 of PEM.

    Raises:
        ValueError: It is not; the message says in what way.
    """
    try:
        text = base64.b64decode(ca_bundle, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("it is not PEM in base64") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ValueError("it holds something that is no certificate, or none at all") from None
    return context
