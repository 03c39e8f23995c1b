"""Where tensorstore writes: a folder, or a bucket of S3."""

import os
from typing import Any

from neuroadda.errors import UserError
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.urls import Url

S3 = "s3://"
DEFAULT_REGION = "us-east-1"  # of servers that are not Amazon's, which have none


def to_kvstore(folder: Location) -> dict[str, Any]:
    """Return tensorstore's key-value store of a folder; at a URL, endpoint and credentials come from the environment, as elsewhere.

    Raises
    ------
    UserError
        If it is a URL of something else than S3.
    """
    if not isinstance(folder, Url):
        return {"driver": "file", "path": f"{folder}/"}
    check_scheme(folder)
    bucket, _, path = folder.url.removeprefix(S3).partition("/")
    store: dict[str, Any] = {"driver": "s3", "bucket": bucket, "path": f"{path}/"}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        store |= {"endpoint": endpoint, "aws_region": region or DEFAULT_REGION}
    elif region:
        store["aws_region"] = region
    if os.environ.get("AWS_ACCESS_KEY_ID"):  # else it reads files, and reports those that are missing
        store["aws_credentials"] = {"type": "environment"}
    return store


def check_scheme(folder: Url) -> None:
    """Raise UserError if a URL is of something else than S3."""
    if not folder.url.startswith(S3):
        raise UserError("it is published to a folder of this machine, or to s3://", str(folder), "see docs/publish.md")
