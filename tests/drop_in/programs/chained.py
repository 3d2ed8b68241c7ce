"""A program that reaches a spoke account through a hub, with the region linked all the way."""

import json

import boto3

import rolecall as aws_assume_role_lib

parent = boto3.Session(region_name="eu-west-1")
hub = aws_assume_role_lib.assume_role(
    parent, "arn:aws:iam::210987654321:role/Hub", RoleSessionName="hub"
)
spoke = aws_assume_role_lib.assume_role(
    hub, "arn:aws:iam::345678901234:role/Spoke", RoleSessionName="spoke"
)
fixed = aws_assume_role_lib.assume_role(
    hub, "arn:aws:iam::345678901234:role/Spoke", region_name=True
)
own = aws_assume_role_lib.assume_role(
    hub, "arn:aws:iam::345678901234:role/Spoke", region_name=False
)
given = aws_assume_role_lib.assume_role(
    hub, "arn:aws:iam::345678901234:role/Spoke", region_name="ap-southeast-2"
)


def regions() -> list:
    return [session.region_name for session in (hub, spoke, fixed, own, given)]


before = regions()
parent._session.set_config_variable("region", "eu-central-1")
after = regions()
hub._session.set_config_variable("region", "us-west-2")
linked = regions()

print(
    json.dumps(
        {
            "before": before,
            "after": after,
            "linked": linked,
            "spoke": spoke.client("sts").get_caller_identity()["Arn"],
            "hub": hub.client("sts").get_caller_identity()["Arn"],
            "user": parent.client("sts").get_caller_identity()["Arn"],
            "parents": [
                spoke.assume_role_parent_session is hub,
                hub.assume_role_parent_session is parent,
            ],
        }
    )
)
