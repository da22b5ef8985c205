"""The bucket of STORAGE_URL. By itself boto3 waits for minutes: for a connection, an answer, and its retries."""

from typing import Any

from botocore.config import Config
from django.core.files.base import File
from storages.backends.s3 import S3Storage

from catalog.media import temporary

IN_MEMORY = 1024**2  # bytes of a file that is read; the rest is on the disk


class Bucket(S3Storage):
    def get_default_settings(self) -> dict[str, Any]:
        limits = Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": 2})
        return super().get_default_settings() | {"client_config": limits, "max_memory_size": IN_MEMORY}

    def _open(self, name: str, mode: str = "rb") -> File:
        temporary.folder()  # where the file is kept while it is read
        return super()._open(name, mode)
