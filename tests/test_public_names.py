"""What `import anabranch` gives: the names of the door, and nothing by accident."""

from __future__ import annotations

import pytest

import anabranch
from anabranch import api


def test_all_public_names_may_be_imported_at_once() -> None:
    """They are looked up late, but a star sees them."""
    here: dict[str, object] = {}
    exec("from anabranch import *", here)  # within a function there is no other way to write it
    assert {name: here[name] for name in api.__all__} == {name: getattr(api, name) for name in api.__all__}
    assert dir(anabranch) == sorted(api.__all__)


@pytest.mark.parametrize("name", ["Torent", "_private", "__path_of_nothing__"])
def test_a_name_that_is_not_there_is_said(name: str) -> None:
    """As Python says it."""
    with pytest.raises(AttributeError, match=f"module 'anabranch' has no attribute '{name}'"):
        getattr(anabranch, name)
