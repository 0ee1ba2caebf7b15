"""Which entries a query means; most of it is held by the contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.selection import SORT_COLUMNS, matcher, select
from llmcache_jupyter.errors import InvalidSettingError
from tests.caches.contract import chat, entry

TEXTS = st.text(st.sampled_from('ab1 \n"\\éßİK🎈_') | st.characters(codec="utf-8"), max_size=8)


@given(TEXTS, TEXTS, TEXTS)
def test_any_part_of_a_message_finds_it(before: str, wanted: str, after: str) -> None:
    """What rules most prompts out unread must never rule out one that says it."""
    said = before + wanted + after
    assert matcher(Query(text=wanted))(entry(chat(("human", said)), text="."))
    assert matcher(Query(text=wanted.lower()))(entry(said, text="."))
    assert matcher(Query(text=wanted))(entry(text=said))


def test_an_unknown_column_is_a_mistake() -> None:
    with pytest.raises(InvalidSettingError, match=r"no column 'size': sort by stored, model, cell"):
        select([entry()], Query(sort="size"))  # type: ignore[arg-type]
    assert len(SORT_COLUMNS) == 9
