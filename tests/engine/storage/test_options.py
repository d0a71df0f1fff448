import pytest

from becalm_engine.errors import UsageError
from becalm_engine.storage.options import AssumedRole, StorageOptions, parse_options, parse_rate

NOTHING = StorageOptions()


def test_options_are_restic_s() -> None:
    pairs = {
        "s3.region": "eu-west-1",
        "s3.bucket-lookup": "dns",
        "s3.storage-class": "STANDARD_IA",
        "s3.connections": "3",
        "s3.list-objects-v1": "true",
        "s3.unsafe-anonymous-auth": "True",
    }

    options = parse_options(pairs, {}, StorageOptions(ca_file="ca.pem", upload_kib=5))

    assert options == StorageOptions(
        "eu-west-1",
        "dns",
        "STANDARD_IA",
        "ca.pem",
        connections=3,
        list_objects_v1=True,
        anonymous=True,
        upload_kib=5,
    )


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({}, ""),
        ({"AWS_DEFAULT_REGION": "there"}, "there"),
        ({"AWS_REGION": "here", "AWS_DEFAULT_REGION": "there"}, "here"),
    ],
)
def test_without_options_the_environment_s_region_holds(environment: dict[str, str], region: str) -> None:
    assert parse_options({}, environment, NOTHING) == StorageOptions(region=region)


def test_an_option_goes_before_the_environment() -> None:
    assert parse_options({"s3.region": "a"}, {"AWS_REGION": "b"}, NOTHING).region == "a"


def test_a_role_is_named_by_restic_s_variables() -> None:
    environment = {
        "RESTIC_AWS_ASSUME_ROLE_ARN": "arn:aws:iam::1:role/backup",
        "RESTIC_AWS_ASSUME_ROLE_SESSION_NAME": "night",
        "RESTIC_AWS_ASSUME_ROLE_EXTERNAL_ID": "shop",
        "RESTIC_AWS_ASSUME_ROLE_POLICY": "{}",
        "RESTIC_AWS_ASSUME_ROLE_REGION": "eu-west-1",
        "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT": "https://sts.rose.example",
    }

    assert parse_options({}, environment, NOTHING).role == AssumedRole(
        "arn:aws:iam::1:role/backup", "night", "shop", "{}", "eu-west-1", "https://sts.rose.example"
    )


def test_without_its_arn_there_is_no_role() -> None:
    assert parse_options({}, {"RESTIC_AWS_ASSUME_ROLE_REGION": "eu-west-1"}, NOTHING).role is None


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"s3.colour": "blue"}, "s3.colour; known are .*s3.region"),
        ({"s3.bucket-lookup": "perhaps"}, "auto, dns, path"),
        ({"s3.connections": "0"}, "from 1 to 256"),
        ({"s3.connections": "257"}, "from 1 to 256"),
        ({"s3.connections": "many"}, "from 1 to 256"),
        ({"s3.connections": "-1"}, "from 1 to 256"),
        ({"s3.list-objects-v1": "perhaps"}, "neither true nor false"),
    ],
)
def test_an_option_that_makes_no_sense_is_a_mistake_of_the_caller(
    pairs: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        parse_options(pairs, {}, NOTHING)


@pytest.mark.parametrize(("text", "rate"), [("0", 0), ("512", 512)])
def test_a_rate_is_a_whole_number(text: str, rate: int) -> None:
    assert parse_rate(text, "--limit-upload") == rate


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1M", "²"])
def test_a_rate_that_is_none_is_a_mistake_of_the_caller(text: str) -> None:
    with pytest.raises(UsageError, match=r"--limit-upload .* KiB per second"):
        parse_rate(text, "--limit-upload")
