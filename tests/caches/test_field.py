"""A field of what a store holds: what comes back, and what can be shown of anything."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import Any

import pytest

from llmcache_jupyter.caches.field import LATEST, seconds, shown, to_bytes
from tests.caches.contract import TRICKY


@pytest.mark.parametrize("text", TRICKY, ids=ascii)
def test_text_comes_back_the_same(text: str) -> None:
    assert shown(to_bytes(text)) == text


@pytest.mark.parametrize(("value", "text"), [(b"\xffa", "\ufffda"), ("a", "a"), (5, ""), (None, "")])
def test_anything_is_some_text(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, 1e308, 253_402_300_799.0, "1", b"1", 1, None])
def test_what_is_no_moment(value: Any) -> None:
    assert seconds(value) is None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be set")
@pytest.mark.parametrize("zone", ["Etc/GMT-14", "Etc/GMT+12"])
def test_the_latest_moment_is_a_date_in_every_time_zone(zone: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        year = datetime.fromtimestamp(LATEST).astimezone().year
    time.tzset()
    assert (seconds(LATEST), year) == (LATEST, 9999)
