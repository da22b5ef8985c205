"""The bucket of STORAGE_URL. By itself boto3 waits for minutes: for a connection, an answer, and its retries."""

from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage


class Bucket(S3Storage):
    def get_default_settings(self) -> dict[str, Any]:
        limits = Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": 2})
        return super().get_default_settings() | {"client_config": limits}
