"""Objects in a store: whole or not at all, and errors in few words that give nothing away."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("obstore", reason="obstore is an extra: anabranch[s3]")

from obstore.exceptions import BaseError, GenericError, PermissionDeniedError
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, MemoryStore, S3Store

from anabranch.model import InputRefused, StorageFailed
from anabranch.storage.objects_io import PART_SIZE, Objects
from storage.flaky_store import FlakyStore

_SIGNED = "https://me.blob.core.windows.net/c/k?sv=2024&sig=TOPSECRET"


def refused(error: Exception) -> StorageFailed:
    """What is made of an error of obstore's."""
    store = FlakyStore()

    def fail(name: str, path: str) -> None:
        raise error

    store.before = fail
    with pytest.raises(StorageFailed) as failed:
        list(Objects(cast(Any, store)).stream("k/1", 5))
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    return failed.value


@pytest.mark.parametrize(
    ("error", "reason", "number"),
    [
        (FileNotFoundError("Object at location k/1 not found: status: 404,"), "no such object", errno.ENOENT),
        (FileNotFoundError("<Code>NoSuchKey</Code> status: 404,"), "no such object", errno.ENOENT),
        (FileNotFoundError("<Code>NoSuchBucket</Code> status: 404,"), "no such bucket", errno.EIO),
        (PermissionDeniedError("<Code>SignatureDoesNotMatch</Code> status: 403,"), "the secret key is wrong", 13),
        (PermissionDeniedError("non-2xx status code: 403 Forbidden: "), "the server says 403 Forbidden", 13),
        (GenericError("status code: 500 x: <Code>InternalError</Code>"), "the server says InternalError", errno.EIO),
        (GenericError("status: 599,"), "the server says 599 ?", errno.EIO),
        (
            GenericError('Os {\n code: 111,\n kind: ConnectionRefused,\n message: "Connection refused",\n}'),
            "Connection refused",
            errno.ECONNREFUSED,
        ),
        (
            GenericError('Os { code: 28, kind: StorageFull, message: "No space left on device" }'),
            "No space left on device",
            28,
        ),
        (GenericError("kind: Timeout, source: TimedOut"), "the server does not answer", errno.ETIMEDOUT),
        (
            GenericError('error: "failed to lookup address information: Name or service not known",'),
            "Name or service not known",
            errno.EHOSTUNREACH,
        ),
        (GenericError(f"odd thing at {_SIGNED} happened\nsig=TOPSECRET"), "odd thing at ... happened", errno.EIO),
        (ValueError(""), "ValueError", errno.EIO),
    ],
)
def test_errors_are_said_in_few_words(error: Exception, reason: str, number: int) -> None:
    """The system's or the server's, never obstore's page; "not there" (ENOENT) only where the object is what is not."""
    failed = refused(error)
    assert (failed.reason, failed.errno) == (reason, number)
    assert failed.path == "flaky:/k/1"


def test_nothing_secret_is_in_an_error(tmp_path: Path) -> None:
    """Signed URLs are in obstore's texts; keys and passwords may be in a URL or a store."""
    assert "TOPSECRET" not in str(refused(BaseError(f"Error performing GET {_SIGNED} status: 418,\n uri: {_SIGNED}")))
    assert Objects("https://user:TOPSECRET@host.example/x?sig=TOPSECRET").url == "https://host.example/x"
    with pytest.raises(InputRefused) as failed:
        Objects("ftp://user:TOPSECRET@host.example/x?sig=TOPSECRET")
    assert "TOPSECRET" not in str(failed.value)


def test_a_store_is_shown_by_the_url_that_it_would_have(tmp_path: Path) -> None:
    stores: dict[str, Any] = {
        "s3://b/p/q": S3Store("b", prefix="p/q", access_key_id="k", secret_access_key="s"),
        "gs://b": GCSStore("b"),
        "az://c": AzureStore(container_name="c", account_name="a", account_key="aGk="),
        f"file://{tmp_path}": LocalStore(tmp_path),
        "http://h/x": HTTPStore("http://u:p@h/x"),
        "memory:": MemoryStore(),
    }
    assert [Objects(store).url for store in stores.values()] == list(stores)
    assert Objects("s3://b/p/").shown("k") == "s3://b/p/k"


@pytest.mark.parametrize("url", ["nonsense", "ftp://x/", "az://container", "s3://", "file://relative"])
def test_urls_that_cannot_be_used_are_refused(url: str) -> None:
    with pytest.raises(InputRefused, match="object storage"):
        Objects(url)


def test_a_server_that_is_gone_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With credentials and endpoint from the environment, as obstore has it; plain HTTP where the endpoint says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "TOPSECRET")
    objects = Objects("s3://bucket/some")
    with pytest.raises(StorageFailed) as failed:
        objects.size("k")
    assert str(failed.value) == "s3://bucket/some/k: Connection refused"


@pytest.mark.parametrize("url", ["memory:///", "file://{place}/objects"])
@pytest.mark.parametrize("length", [0, 1, PART_SIZE, 2 * PART_SIZE + 1])
def test_an_object_comes_back_as_it_was_put(url: str, length: int, tmp_path: Path) -> None:
    """In one request or in parts."""
    objects = Objects(url.format(place=tmp_path))
    parts = [bytes([at + 1]) * min(PART_SIZE, length - at * PART_SIZE) for at in range(-(-length // PART_SIZE))]
    objects.put("a/k", parts, length)
    assert objects.size("a/k") == length
    assert list(objects.listed("a/")) == [("a/k", length)]
    assert b"".join(objects.stream("a/k", length)) == b"".join(parts)


@pytest.mark.parametrize("url", ["memory:///", "file://{place}/objects"])
def test_what_breaks_while_an_object_is_put_leaves_none(url: str, tmp_path: Path) -> None:
    """And comes out as it was: the disk's error is the disk's."""

    def parts() -> Iterator[bytes]:
        yield bytes(PART_SIZE)
        raise StorageFailed("/staging/1", "Input/output error", errno.EIO)

    objects = Objects(url.format(place=tmp_path))
    for length in (PART_SIZE, 2 * PART_SIZE):
        with pytest.raises(StorageFailed, match="/staging/1: Input/output error"):
            objects.put("a/k", parts(), length)
        assert objects.size("a/k") is None
