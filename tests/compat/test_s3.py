"""The same repository in an S3 bucket, for both programs."""

from pathlib import Path

import pytest

from tests.compat.conftest import Source
from tests.compat.programs import becalm, restic
from tests.engine.storage.s3_server import S3Server
from tests.engine.volume.picture import differences, picture

pytestmark = [pytest.mark.restic, pytest.mark.s3, pytest.mark.slow]


def test_both_programs_work_on_one_bucket(s3: S3Server, small: Source, place: Path) -> None:
    location = f"s3:{s3.url}/bucket/some/where"
    ours, theirs = becalm(location), restic("0.19", location, place / "cache")

    ours.run("init", "--option=s3.bucket-lookup=path")
    ours.run("backup", "--host=node", small.folder, "--option=s3.region=us-east-1")
    theirs.run("check", "--read-data")
    theirs.run("restore", f"latest:{small.folder}", "--sparse", f"--target={place / 'theirs'}")
    theirs.run("backup", "--host=node", small.folder)
    ours.run("restore", f"latest:{small.folder}", f"--target={place / 'ours'}", "--verify", "--sparse")
    ours.run("check", "--read-data")

    assert differences(small.picture, picture(place / "theirs")) == []
    assert differences(small.picture, picture(place / "ours")) == []
