from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import UsageError
from becalm_engine.storage.location import S3Location, parse_location


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("s3:https://rose.example/shop", S3Location("https://rose.example", "shop", "")),
        ("s3:http://127.0.0.1:9000/shop/a/b/", S3Location("http://127.0.0.1:9000", "shop", "a/b")),
        ("s3:rose.example/shop/a", S3Location("https://rose.example", "shop", "a")),
        ("s3://rose.example/shop", S3Location("https://rose.example", "shop", "")),
        ("s3:s3.amazonaws.com/shop/a", S3Location("", "shop", "a")),
        ("s3:https://s3.amazonaws.com/shop", S3Location("", "shop", "")),
        ("s3:s3.eu-west-1.amazonaws.com/shop", S3Location("https://s3.eu-west-1.amazonaws.com", "shop", "")),
        ("s3:https://rose.example/shop/a%20b", S3Location("https://rose.example", "shop", "a b")),
        ("s3:rose.example/shop/a%20b", S3Location("https://rose.example", "shop", "a%20b")),
        ("s3:https://rose.example/shop//a/./b/", S3Location("https://rose.example", "shop", "a/b")),
        ("local:/srv/repository", Path("/srv/repository")),
        ("/srv/repository", Path("/srv/repository")),
        ("relative/folder", Path("relative/folder")),
        ("./a:b", Path("a:b")),
    ],
)
def test_locations_are_read_as_restic_reads_them(text: str, location: S3Location | Path) -> None:
    assert parse_location(text) == location


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "RESTIC_REPOSITORY"),
        ("s3:", "names no bucket"),
        ("s3:https://rose.example", "names no bucket"),
        ("s3:https://rose.example/", "names no bucket"),
        ("s3:https://ann:secret@rose.example/shop", "no credentials"),
        ("s3:https://ann:secret@rose.example/", "no credentials"),
        ("s3:https://secret@rose.example/shop", "no credentials"),
        ("s3:https://ann:secret@rose.example:x/shop", "makes no sense"),
        ("s3:https://[rose.example/shop", "makes no sense"),
        ("s3:ftp://rose.example/shop", "names no bucket"),
        ("s3:https://rose.example/shop/a?b", r"has a \? or a #"),
        ("s3:https://rose.example/shop/a#b", r"has a \? or a #"),
        ("sftp:ann@rose:/srv", "not supported"),
        ("rest:https://rose.example/", "not supported"),
    ],
)
def test_a_location_that_makes_no_sense_is_a_mistake_of_the_caller(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        parse_location(text)

    assert "secret" not in str(raised.value)


names = st.text("abc-.", min_size=1, max_size=10).filter(lambda name: name.strip("."))


@given(names, st.lists(names, max_size=3).map("/".join), st.sampled_from(("http", "https")))
def test_a_location_shows_what_it_is_read_from(bucket: str, prefix: str, scheme: str) -> None:
    location = S3Location(f"{scheme}://rose.example:9000", bucket, prefix)

    assert parse_location(str(location)) == location


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3.dualstack.us-gov-east-1.amazonaws.com", "us-gov-east-1"),
        ("https://s3-fips.us-east-2.amazonaws.com", "us-east-2"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("", ""),
        ("https://s3.eu-west-1.amazonaws.com.rose.example", ""),
        ("https://rose.example:9000", ""),
    ],
)
def test_an_endpoint_of_aws_names_its_region(endpoint: str, region: str) -> None:
    assert S3Location(endpoint, "shop", "").region == region


@pytest.mark.parametrize(
    ("endpoint", "bucket", "has"),
    [
        ("", "shop", True),
        ("https://s3.eu-west-1.amazonaws.com", "shop", True),
        ("https://oss-cn-beijing.aliyuncs.com", "shop", True),
        ("https://storage.googleapis.com", "shop", True),
        ("https://storage.googleapis.com", "shop.example", False),
        ("", "shop.example", False),
        ("https://notamazonaws.com", "shop", False),
        ("http://127.0.0.1:9000", "shop", False),
    ],
)
def test_some_services_have_a_host_for_each_bucket(endpoint: str, bucket: str, has: bool) -> None:
    assert S3Location(endpoint, bucket, "").has_bucket_host is has
