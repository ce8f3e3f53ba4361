"""Objects in a store (S3, Google Cloud, Azure, a directory): put, streamed, listed and deleted, always whole ones.

By the package obstore, which is optional and imported when it is needed. Its errors run to a page and may hold a signed
URL: they are put into few words here, and only those leave. What the objects are is the caller's affair.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from anabranch.model import InputRefused, StorageFailed

from .backend import Buffer

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

PART_SIZE = 8 * 1024 * 1024  # bytes of one request; S3 allows 10,000 such parts of an object, and none under 5 MiB
_PARTS_AT_ONCE = 2  # of one object
_STREAM_SIZE = 1024 * 1024  # bytes of an object in memory at a time
_PAGE = 1000  # objects: what S3 lists, and deletes, in one request

# A server that is gone shall be told of in seconds; one that is slow has half a minute for each part.
_CLIENT: ClientConfig = {"connect_timeout": "3s", "timeout": "30s", "pool_idle_timeout": "20s"}
_RETRY: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}

_NOT_THERE = ("NoSuchKey", "BlobNotFound", "NotFound")  # of what is said with a 404, that it is the object
_WORDS = {  # by the code that a server gives; others are shown as they are
    "NoSuchBucket": "no such bucket",
    "ContainerNotFound": "no such container",
    "NoSuchKey": "no such object",
    "BlobNotFound": "no such object",
    "AccessDenied": "access denied",
    "InvalidAccessKeyId": "the server does not know the access key",
    "SignatureDoesNotMatch": "the secret key is wrong",
}


class Objects:
    """A store and its objects, by their keys. Safe from any thread; every method raises StorageFailed.

    Args:
        store: An obstore store, or a URL: s3://BUCKET/PREFIX, gs://, az://, file:///DIRECTORY, memory:///. Then
            credentials and endpoint come from the environment, as obstore has it (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL).

    Raises:
        InputRefused: the URL cannot be used, or obstore is not installed.
    """

    def __init__(self, store: ObjectStore | str) -> None:
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError as missing:
            raise InputRefused("object storage needs the package obstore: pip install 'anabranch[s3]'") from missing
        self._errors = (BaseError, OSError, ValueError)
        if isinstance(store, str):
            self.url = _shown_url(store)
            try:
                if urlsplit(store).scheme == "file":
                    store = from_url(store, mkdir=True)
                else:
                    store = from_url(store, client_options=_client_options(), retry_config=_RETRY)
            except self._errors as error:
                raise InputRefused(f"object storage {self.url}: {_reason(error)[0]}") from None  # see _blamed
        else:
            self.url = _url_of(store)
        self._store = store

    def shown(self, key: str) -> str:
        """The object's address, as people write it."""
        return f"{self.url}/{key}"

    def put(self, key: str, parts: Iterable[Buffer], length: int) -> None:
        """Put an object; it is there whole when this returns. After an error it may be there all the same.

        Args:
            key: Its name.
            parts: Its bytes, each part but the last of PART_SIZE; what it raises is raised here.
            length: How many bytes.
        """
        broken: list[BaseException] = []

        def watched() -> Iterator[Buffer]:
            try:
                yield from parts
            except BaseException as error:  # belongs to who made the parts, and would not come back as it is
                broken.append(error)
                raise

        with self._blamed(key):
            try:
                if length <= PART_SIZE:
                    self._store.put(key, b"".join(parts), use_multipart=False)
                else:
                    self._store.put(
                        key, watched(), use_multipart=True, chunk_size=PART_SIZE, max_concurrency=_PARTS_AT_ONCE
                    )
            except self._errors:
                if broken:
                    raise broken[0] from None
                raise

    def stream(self, key: str, length: int) -> Iterator[Buffer]:
        """The bytes of an object, some at a time. Where it has not that length, it is refused."""
        with self._blamed(key):
            got = self._store.get(key)
            if got.meta["size"] != length:
                raise StorageFailed(self.shown(key), f"has {got.meta['size']} bytes, {length} are due")
            come = 0
            for buffer in got.stream(min_chunk_size=_STREAM_SIZE):
                come += len(buffer)
                yield buffer
        if come != length:
            raise StorageFailed(self.shown(key), f"{length - come} bytes short", errno.EIO)

    def size(self, key: str) -> int | None:
        """Length of an object in bytes, None where it is not there."""
        try:
            with self._blamed(key):
                return self._store.head(key)["size"]
        except StorageFailed as failed:
            if failed.errno != errno.ENOENT:
                raise
        with self._blamed(key):  # an answer to HEAD cannot say whether the bucket is there
            next(iter(self._store.list(key.rpartition("/")[0], chunk_size=1)), None)
        return None

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys that begin with *prefix*, which ends in a slash, and their lengths; a page of them in memory."""
        with self._blamed(prefix):
            for page in self._store.list(prefix, chunk_size=_PAGE):
                for one in page:
                    yield one["path"], one["size"]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, there or not."""
        for at in range(0, len(keys), _PAGE):
            try:
                with self._blamed(keys[at]):
                    self._store.delete(keys[at : at + _PAGE])
            except StorageFailed as failed:
                if failed.errno != errno.ENOENT:
                    raise
                self._delete_singly(keys[at : at + _PAGE])  # one was gone: a directory then stops in the middle

    def _delete_singly(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                with self._blamed(key):
                    self._store.delete(key)
            except StorageFailed as failed:
                if failed.errno != errno.ENOENT:
                    raise

    @contextmanager
    def _blamed(self, key: str) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            reason, number = _reason(error)
            raise StorageFailed(self.shown(key), reason, number) from None  # the text may hold a signed URL


def _reason(error: Exception) -> tuple[str, int]:
    """What went wrong in few words, without anything secret, and the system's number for it.

    ENOENT only where certainly the object is what is missing.
    """
    text = str(error)
    code = re.search(r"<Code>(\w{1,60})</Code>", text)
    status = re.search(r"status(?: code)?: (\d{3})\b", text)
    system = re.search(r'code: (\d+),\s*kind: \w+,\s*message: "([^"]{1,200})"', text)
    lookup = re.search(r'error: "failed to lookup address information: ([^"]{1,200})"', text)
    if isinstance(error, FileNotFoundError) and (code is None or code[1] in _NOT_THERE):
        return "no such object", errno.ENOENT
    if code is not None:
        denied = status is not None and status[1] in ("401", "403")
        return _WORDS.get(code[1], f"the server says {code[1]}"), errno.EACCES if denied else errno.EIO
    if status is not None:
        number = int(status[1])
        phrase = HTTPStatus(number).phrase if number in HTTPStatus._value2member_map_ else "?"
        return f"the server says {number} {phrase}", errno.EACCES if number in (401, 403) else errno.EIO
    if system is not None:
        return system[2], int(system[1]) if int(system[1]) != errno.ENOENT else errno.EIO
    if lookup is not None:
        return lookup[1], errno.EHOSTUNREACH
    if "TimedOut" in text or "timed out" in text:
        return "the server does not answer", errno.ETIMEDOUT
    if "BadScheme" in text:
        return "the endpoint is http, which is not allowed", errno.EIO
    first = re.sub(r"\S+://\S+", "...", text.partition("\n")[0])  # a URL may have a signature in it
    return f"{first[:200]}" or type(error).__name__, errno.EIO


def _client_options() -> ClientConfig:
    """How to talk to servers. Plain HTTP where the environment names such an endpoint."""
    endpoints = [value for name, value in os.environ.items() if "ENDPOINT" in name.upper()]
    plain = any(value.startswith("http://") for value in endpoints)
    return {**_CLIENT, "allow_http": plain or os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")}


def _shown_url(url: str) -> str:
    """A URL without what may be secret."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def _url_of(store: ObjectStore) -> str:
    """What a store would have as its URL."""
    kind = type(store).__name__.removesuffix("Store").lower()
    scheme = {"s3": "s3", "gcs": "gs", "azure": "az", "local": "file"}.get(kind, kind)
    if url := getattr(store, "url", None):
        return _shown_url(str(url))
    config = getattr(store, "config", {})
    place = config.get("bucket") or config.get("container_name") or ""
    prefix = str(getattr(store, "prefix", None) or "")
    return f"{scheme}://{place}{'/' if place and prefix else ''}{prefix}".rstrip("/")
