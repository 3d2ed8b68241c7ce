"""Role ARNs are taken apart and put together without loss, and wrong ones say what they are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.chain import (
    RoleArn,
    get_assumed_role_session_arn,
    get_role_arn,
    partition_of_region,
)

PARTITIONS = ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc", "aws-moon-2"]
PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
PATHS = st.one_of(st.just("/"), st.text(PRINTABLE, min_size=1, max_size=510).map("/{}/".format))
NAMES = st.from_regex(r"[A-Za-z0-9_+=,.@-]{1,64}", fullmatch=True)


@given(st.sampled_from(PARTITIONS), st.from_regex(r"[0-9]{12}", fullmatch=True), PATHS, NAMES)
@example("aws", "000000000000", "/:/", "x")
@example("aws", "123456789012", "/role/", "role")
def test_what_is_put_together_comes_apart_the_same(partition, account, path, name):
    arn = RoleArn(partition, account, path, name)

    assert arn == RoleArn.parse(str(arn))


@given(st.text() | st.text().map("arn:aws:iam::123456789012:role/{}".format))
def test_whatever_parses_prints_as_it_was(text):
    try:
        arn = RoleArn.parse(text)
    except ValueError:
        return

    assert text == str(arn)


def test_a_role_with_a_path_has_path_and_name_apart():
    arn = RoleArn.parse("arn:aws-cn:iam::123456789012:role/a/b/Reader")

    assert RoleArn("aws-cn", "123456789012", "/a/b/", "Reader") == arn


@pytest.mark.parametrize(
    ("wrong", "because"),
    [
        (None, "must be a string .* got a NoneType"),
        (5, "got an int"),
        (b"arn:aws:iam::123456789012:role/R", "got a bytes"),
        ("", "'' is not an ARN"),
        ("Reader", "'Reader' is not an ARN; a role's is like arn:aws:iam::123456789012:role/Name"),
        (" arn:aws:iam::123456789012:role/R", "white space around it"),
        ("arn:aws:iam::123456789012:role/R\n", "white space around it"),
        ("arn:aws:iam", "has 3 of an ARN's 6 parts"),
        ("arn:aws:iam::123456789012", "has 5 of an ARN's 6 parts"),
        ("arn:azure:iam::123456789012:role/R", "the partition 'azure', which is none of AWS's"),
        ("arn:aws-:iam::123456789012:role/R", "the partition 'aws-'"),
        ("arn:aws:sts::123456789012:assumed-role/R/me", "is a session of a role; give the role"),
        ("arn:aws:sts::123456789012:federated-user/me", "belongs to 'sts'"),
        ("arn:aws:s3:::bucket", "belongs to 's3'"),
        ("arn:aws:iam::123456789012:user/alice", "is a user, and only roles can be assumed"),
        ("arn:aws:iam::123456789012:root", "is an account's root user"),
        ("arn:aws:iam::123456789012:group/g", "is a group"),
        ("arn:aws:iam::123456789012:instance-profile/p", "is an instance profile"),
        ("arn:aws:iam::123456789012:mfa/me", "is an MFA device: it goes into SerialNumber"),
        ("arn:aws:iam::123456789012:moon/me", "is no role"),
        ("arn:aws:iam::123456789012:role", "is no role"),
        ("arn:aws:iam:eu-west-1:123456789012:role/R", "names a region, and IAM has none"),
        ("arn:aws:iam::12345678901:role/R", "the account '12345678901', which must be 12 digits"),
        ("arn:aws:iam::1234567890123:role/R", "must be 12 digits"),
        ("arn:aws:iam::١٢٣٤٥٦٧٨٩٠١٢:role/R", "must be 12 digits"),
        ("arn:aws:iam::aws:role/R", "must be 12 digits"),
        ("arn:aws:iam:::role/R", "the account '', which must be 12 digits"),
        ("arn:aws:iam::123456789012:role/", "lacks the role's name"),
        ("arn:aws:iam::123456789012:role/a/", "lacks the role's name"),
        ("arn:aws:iam::123456789012:role/R*", "the role name 'R\\*'"),
        ("arn:aws:iam::123456789012:role/" + "R" * 65, "which must be 1 to 64 of"),
        ("arn:aws:iam::123456789012:role/a b/R", "the path '/a b/'"),
        ("arn:aws:iam::123456789012:role/" + "a" * 511 + "/R", "at most 512"),
    ],
)
def test_what_is_no_role_arn_says_what_it_is(wrong, because):
    with pytest.raises(ValueError, match=because):
        RoleArn.parse(wrong)


def test_a_long_wrong_arn_is_shown_in_part():
    with pytest.raises(ValueError, match="is not an ARN") as caught:
        RoleArn.parse("x" * 5000)

    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("arguments", "arn"),
    [
        (("123456789012", "R"), "arn:aws:iam::123456789012:role/R"),
        ((123456789012, "R"), "arn:aws:iam::123456789012:role/R"),
        ((1234, "R"), "arn:aws:iam::000000001234:role/R"),
        (("1234", "R"), "arn:aws:iam::000000001234:role/R"),
        ((1234.0, "R"), "arn:aws:iam::000000001234:role/R"),
        (("1", "a/b/R"), "arn:aws:iam::000000000001:role/a/b/R"),
        (("1", "/a/R"), "arn:aws:iam::000000000001:role/a/R"),
        (("1", "/R"), "arn:aws:iam::000000000001:role/R"),
        (("1", "R", "a"), "arn:aws:iam::000000000001:role/a/R"),
        (("1", "R", "/a/b/"), "arn:aws:iam::000000000001:role/a/b/R"),
        (("1", "R", "/"), "arn:aws:iam::000000000001:role/R"),
        (("1", "R", "", "aws-cn"), "arn:aws-cn:iam::000000000001:role/R"),
    ],
)
def test_a_role_arn_is_put_together(arguments, arn):
    assert arn == get_role_arn(*arguments)


def test_a_path_given_twice_is_refused():
    with pytest.raises(ValueError, match="the path is given twice"):
        get_role_arn(1, "a/R", path="b")


@pytest.mark.parametrize(
    ("arguments", "arn"),
    [
        ((1, "R", "me"), "arn:aws:sts::000000000001:assumed-role/R/me"),
        (("12", "a/b/R", "me"), "arn:aws:sts::000000000012:assumed-role/R/me"),
        ((1, "R", "me", "aws-us-gov"), "arn:aws-us-gov:sts::000000000001:assumed-role/R/me"),
    ],
)
def test_the_arn_of_a_session_leaves_out_the_path(arguments, arn):
    assert arn == get_assumed_role_session_arn(*arguments)


@given(st.integers(0, 10**12 - 1), NAMES, st.sampled_from(["", "a", "/a/", "a/b"]))
def test_what_get_role_arn_makes_is_a_role_arn(account, name, path):
    assert name == RoleArn.parse(get_role_arn(account, name, path)).name


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("ap-southeast-7", "aws"),
        ("mx-central-1", "aws"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("us-isof-south-1", "aws-iso-f"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-northwest-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
        ("aws-global", "aws"),
        ("aws-cn-global", "aws-cn"),
        ("aws-iso-b-global", "aws-iso-b"),
        ("moon-base-1", None),
        ("local", None),
        ("us-east-1a", None),
        ("", None),
        (None, None),
    ],
)
def test_a_region_tells_its_partition(region, partition):
    assert partition == partition_of_region(region)
