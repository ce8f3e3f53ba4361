"""An object store in memory whose requests can fail, be lost half-way, or wait; it counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from obstore.exceptions import GenericError
from obstore.store import MemoryStore


class Killed(BaseException):
    """The program ends here: nobody below a test may catch it."""


class FlakyStore:
    """Has the methods of a store.

    Attributes:
        inner: The store with the objects.
        asked: How many requests there were, by their name.
        before: Called with a request's name and path before it is fulfilled; what it raises is raised.
        after: The same, once it is.
    """

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.asked: Counter[str] = Counter()
        self.before: Callable[[str, str], None] = lambda name, path: None
        self.after: Callable[[str, str], None] = lambda name, path: None

    def put(self, path: str, *args: Any, **kwargs: Any) -> object:
        return self._do("put", path, lambda: self.inner.put(path, *args, **kwargs))

    def get(self, path: str) -> Any:
        return self._do("get", path, lambda: self.inner.get(path))

    def head(self, path: str) -> Any:
        return self._do("head", path, lambda: self.inner.head(path))

    def delete(self, paths: str | Sequence[str]) -> None:
        self._do("delete", paths if isinstance(paths, str) else paths[0], lambda: self.inner.delete(paths))

    def list(self, prefix: str, **size: Any) -> Any:
        return self._do("list", prefix, lambda: self.inner.list(prefix, **size))

    def keys(self) -> Sequence[str]:
        return sorted(one["path"] for page in self.inner.list() for one in page)

    def _do(self, name: str, path: str, request: Callable[[], object]) -> Any:
        self.asked[name] += 1
        self.before(name, path)
        answer = request()
        self.after(name, path)
        return answer


def failing(*names: str, text: str = "Generic S3 error: status: 503, body: None") -> Callable[[str, str], None]:
    """What makes requests of these names fail."""

    def fail(name: str, path: str) -> None:
        if name in names:
            raise GenericError(text)

    return fail
