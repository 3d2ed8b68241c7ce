"""A Lambda function: one session made outside of the handler, named after the function."""

import json
import os

os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "billing"
os.environ["AWS_LAMBDA_FUNCTION_VERSION"] = "7"
os.environ["AWS_LAMBDA_LOG_STREAM_NAME"] = "2026/11/21/[7]0123456789abcdef0123456789abcdef"

import boto3

import rolecall as aws_assume_role_lib

session = aws_assume_role_lib.assume_role(
    boto3.Session(),
    aws_assume_role_lib.get_role_arn(210987654321, "team/Writer"),
    RoleSessionName=aws_assume_role_lib.generate_lambda_session_name(),
    Tags=[{"Key": "function", "Value": "billing"}],
)
queue = session.resource("sqs").create_queue(QueueName="bills")


def handler(event, context):
    queue.send_message(MessageBody=json.dumps(event))
    return session.client("sts").get_caller_identity()["Arn"]


arns = {handler({"bill": number}, None) for number in range(5)}
expected = aws_assume_role_lib.get_assumed_role_session_arn(
    210987654321, "team/Writer", "billing.7.0123456789abcdef0123456789abcdef"
)
print(
    json.dumps(
        {
            "as expected": arns == {expected},
            "messages": len(queue.receive_messages(MaxNumberOfMessages=10)),
        }
    )
)
