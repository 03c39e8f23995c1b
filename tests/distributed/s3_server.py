"""An S3 server on loopback that knows one user, for tests of arrays at URLs."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUCKET = "bucket"
SETUP = ("create_user", "put_user_policy", "create_access_key", "create_bucket")  # these four need no credentials
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def environment(port: int, key: str, secret: str) -> dict[str, str]:
    """Return what tells s3fs where the server is and who asks."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def run_s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run a moto server with a bucket; yield the environment of the user who may use it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "server.log").open("wb") as log:
        options = {"INITIAL_NO_AUTH_ACTION_COUNT": str(len(SETUP)), "MOTO_ALLOW_NONEXISTENT_REGION": "true"}
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ | options)
    try:
        deadline = time.monotonic() + 120
        while not _answers(port):
            assert server.poll() is None, (folder / "server.log").read_text()[-800:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield environment(port, *_make_user(port))
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/data.json", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _make_user(port: int) -> tuple[str, str]:
    import boto3

    known = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
    known |= {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
    iam = boto3.client("iam", **known)
    iam.create_user(UserName="user")
    iam.put_user_policy(UserName="user", PolicyName="all", PolicyDocument=json.dumps(ALL))
    key = iam.create_access_key(UserName="user")["AccessKey"]
    boto3.client("s3", **known).create_bucket(Bucket=BUCKET)
    return key["AccessKeyId"], key["SecretAccessKey"]
