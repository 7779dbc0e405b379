"""F5: where code comes from: a request's own bytes, or an object in S3."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from ... import config
from ...errors import InvalidParameterValueException, InvalidZipFileException
from ...model import Code
from ...store.blobs import ARCHIVE_MAX_BYTES
from ..call import Call

S3_TIMEOUT_S: Final = 30


@contextlib.asynccontextmanager
async def code_of(call: Call, given: Mapping[str, Any]) -> AsyncIterator[Code]:
    """The zip that `given` tells of, for the length of the block, in which it is deployed.

    given: ZipFile, or S3Bucket and S3Key with S3ObjectVersion. Raises InvalidParameterValueException, also for what
    turns out to be no zip: InvalidZipFileException is Lambda's name for that in an invocation only.
    """
    try:
        async with _zip_of(call, given) as code:
            yield code
    except InvalidZipFileException as error:
        raise InvalidParameterValueException(
            f"Could not unzip uploaded file. Please check your file, then try to upload again. {error.message}"
        ) from error


@contextlib.asynccontextmanager
async def _zip_of(call: Call, given: Mapping[str, Any]) -> AsyncIterator[Code]:
    if given.get("ImageUri"):
        raise InvalidParameterValueException(
            f"ImageUri={given['ImageUri']!r}: this engine runs no container images; give ZipFile, or S3Bucket and S3Key"
        )
    if "ZipFile" in given:
        if "S3Bucket" in given or "S3Key" in given:
            raise InvalidParameterValueException(
                "Please do not provide other FunctionCode parameters when providing a ZipFile."
            )
        yield given["ZipFile"]
        return
    bucket, key = given.get("S3Bucket"), given.get("S3Key")
    if not bucket or not key:
        raise InvalidParameterValueException("Please provide a source for function code.")
    with tempfile.TemporaryDirectory(prefix=f"invocation-engine-{os.getpid()}-") as folder:
        path = Path(folder) / "code.zip"
        endpoint_url, version = call.place.aws_endpoint_url, given.get("S3ObjectVersion")
        await asyncio.to_thread(_fetch, endpoint_url, call.place.region, bucket, key, version, path)
        yield path


def _fetch(endpoint_url: str | None, region: str, bucket: str, key: str, version: str | None, path: Path) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    settings = Config(connect_timeout=S3_TIMEOUT_S, read_timeout=S3_TIMEOUT_S, retries={"total_max_attempts": 2})
    try:
        s3 = boto3.session.Session().client("s3", region_name=region, endpoint_url=endpoint_url, config=settings)
        found = s3.get_object(Bucket=bucket, Key=key, **({} if version is None else {"VersionId": version}))
        if found["ContentLength"] > ARCHIVE_MAX_BYTES:
            size, most = found["ContentLength"], config.UNZIPPED_MAX_BYTES
            raise InvalidParameterValueException(
                f"s3://{bucket}/{key} has {size} bytes: unzipped, code has at most {most}"
            )
        with path.open("wb") as file:
            for part in found["Body"].iter_chunks(1 << 20):
                file.write(part)
    except ClientError as error:
        told = error.response.get("Error", {})
        why = f"S3 Error Code: {told.get('Code')}. S3 Error Message: {told.get('Message')}"
        raise InvalidParameterValueException(f"Error occurred while GetObject. {why}") from error
    except BotoCoreError as error:
        raise InvalidParameterValueException(f"s3://{bucket}/{key} cannot be fetched: {error}") from error
