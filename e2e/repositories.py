"""Repositories that are there before becalm is: what it meets where people have used restic so far.

Their key is a cheap one. To derive a real one takes half a second of a processor, in every mover and every look of a
test at its repository; that it is derived rightly is shown by what leaves the making of it to the operator.
"""

from becalm_engine.format.key_file import ScryptCost
from becalm_engine.repository.repository import initialise
from becalm_engine.storage.local import LocalStorage
from e2e.s3 import S3Server

_CHEAP = ScryptCost(n=1024, r=1, p=1)


def make(s3: S3Server, bucket: str, prefix: str, password: str) -> None:
    """Make an empty repository in a bucket, by way of the folder that it is."""
    initialise(LocalStorage(s3.folder / bucket / prefix), password, cost=_CHEAP)
