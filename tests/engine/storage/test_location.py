from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import UsageError
from becalm_engine.storage.location import S3Location, StorageOptions, parse_location, parse_options


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


def test_options_are_restic_s() -> None:
    pairs = {
        "s3.region": "eu-west-1",
        "s3.bucket-lookup": "dns",
        "s3.storage-class": "STANDARD_IA",
        "s3.connections": "3",
    }

    options = parse_options(pairs, ca_file="ca.pem", insecure_tls=True, region="elsewhere")

    assert options == StorageOptions(
        "eu-west-1", "dns", "STANDARD_IA", "ca.pem", insecure_tls=True, connections=3
    )


def test_without_options_the_environment_s_region_holds() -> None:
    assert parse_options({}, ca_file="", insecure_tls=False, region="here") == StorageOptions(region="here")


@pytest.mark.parametrize(
    "pairs",
    [
        {"s3.colour": "blue"},
        {"s3.bucket-lookup": "perhaps"},
        {"s3.connections": "0"},
        {"s3.connections": "257"},
        {"s3.connections": "many"},
        {"s3.connections": "-1"},
    ],
)
def test_an_option_that_makes_no_sense_is_a_mistake_of_the_caller(pairs: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        parse_options(pairs, ca_file="", insecure_tls=False, region="")
