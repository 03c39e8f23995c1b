"""An S3 server on loopback that knows one user, for tests of arrays at URLs. As a program, the server itself."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ports import find_port
from tests.waiting import Gate, wait_until

ROOT = Path(__file__).parents[2]
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
def run_s3_server(folder: Path, gate: Gate | None = None, gated: str = "") -> Iterator[dict[str, str]]:
    """Run a moto server with a bucket; yield the environment of the user who may use it.

    Uploads to paths (``/bucket/key``) that begin as the pattern `gated` says go through the gate.
    """
    _forget_connections()
    port = find_port()
    command = [sys.executable, "-m", "tests.distributed.s3_server", str(port)]
    if gate is not None:
        command += [str(gate.folder), gated]
    with (folder / "server.log").open("wb") as log:
        options = {"INITIAL_NO_AUTH_ACTION_COUNT": str(len(SETUP)), "MOTO_ALLOW_NONEXISTENT_REGION": "true"}
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | options)
    try:
        wait_until(lambda: _answers(port) or server.poll() is not None)
        assert server.poll() is None, (folder / "server.log").read_text()[-800:]
        yield environment(port, *_make_user(port))
    finally:
        server.kill()
        server.wait()
        _forget_connections()


def _forget_connections() -> None:
    """s3fs keeps one file system a process, made with the environment of its time: another server's."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


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


def _serve(port: str, gate_folder: str | None = None, gated: str = "") -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    moto = DomainDispatcherApplication(create_backend_app)
    gate = None if gate_folder is None else Gate(Path(gate_folder))

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        if gate is not None and environ["REQUEST_METHOD"] == "PUT" and re.match(gated, environ["PATH_INFO"]):
            gate.go_through()
        return moto(environ, start_response)

    run_simple("127.0.0.1", int(port), answer, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
