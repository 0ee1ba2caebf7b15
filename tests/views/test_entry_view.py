"""An entry in full, as HTML and text."""

from __future__ import annotations

import json
from html import unescape

import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration

from llmcache_jupyter.caches import Entry, Generation
from llmcache_jupyter.views.entry_view import SHOWN_CHARACTERS, entry_html, entry_text
from llmcache_jupyter.views.format import number
from tests.views.test_table import HOSTILE, Elements

SECRETS = "[('api_key', 'sk-0123456789'), ('model', 'small'), ('temperature', 0.5)]"


def entry(prompt: str, *answers: object, **known: object) -> Entry:
    return Entry((prompt, SECRETS), list(answers), 1_700_000_000, **known)  # type: ignore[arg-type]


@pytest.fixture
def chat() -> Entry:
    """A chat answered by a text with a tool call, and by another text."""
    prompt = dumps([SystemMessage("Be brief."), HumanMessage("How warm is Lima?")])
    call = {"name": "weather", "args": {"town": "Lima", "days": [1, 2]}, "id": "1", "type": "tool_call"}
    answer = ChatGeneration(message=AIMessage("I look.", tool_calls=[call]))
    return entry(prompt, answer, Generation("Warm."), tokens=31, took=2.5, cell="abc", hits=2)


def test_html_holds_everything_in_order(chat: Entry) -> None:
    html = unescape(entry_html(chat, cell_label=lambda cell: f"[{cell}]"))
    parts = [
        chat.id, "small", "[abc]", "2.5 s", "31", "Prompt · system", "Be brief.", "Prompt · human",
        "How warm is Lima?", "Answer 1 of 2", "I look.", "tool call · weather", '"town": "Lima"',
        "Answer 2 of 2", "Warm.", "Model parameters", "temperature", "0.5",
    ]  # fmt: skip
    places = [html.index(f">{part}" if part.isalpha() else part) for part in parts]
    assert places == sorted(places)


def test_text_holds_the_same(chat: Entry) -> None:
    text = entry_text(chat, cell_label=lambda cell: f"[{cell}]")
    assert text.startswith(f"id {chat.id} · model small · cell [abc] · stored 2023-11-1")
    assert "\nPrompt · system:\n  Be brief.\n\nPrompt · human:\n  How warm is Lima?\n" in text
    assert '\nAnswer 1 of 2 · tool call · weather:\n  {\n    "town": "Lima",\n' in text
    assert "\nModel parameters:\n  api_key: ***\n  model: small\n  temperature: 0.5" in text


def test_no_secret_is_shown(chat: Entry) -> None:
    for shown in (entry_html(chat), entry_text(chat)):
        assert "***" in shown
        assert "0123456789" not in shown


def test_a_megabyte_is_cut_and_says_so() -> None:
    large = entry("Long?", Generation("x" * 1_000_000))
    for shown in (entry_html(large), entry_text(large)):
        assert shown.count("x" * SHOWN_CHARACTERS) == 1
        assert len(shown) < 2 * SHOWN_CHARACTERS
        assert f"{number(980_000)} more characters. The whole text: `%llmcache entries --full`" in shown


def test_of_a_very_long_chat_the_latest_is_shown() -> None:
    said = [HumanMessage(f"({number}) " + "x" * 5_000) for number in range(300)]
    html = entry_html(entry(dumps(said), Generation("Well.")))
    assert "(299)" in html
    assert "(281)" in html
    assert "(150)" not in html
    assert "Well." in html
    assert len(html) < 200_000


@pytest.mark.parametrize("answer", [Generation(""), ChatGeneration(message=AIMessage(""))])
def test_an_empty_answer_is_called_empty(answer: object) -> None:
    assert "empty</span>" in entry_html(entry("Why?", answer))
    assert "(empty)" in entry_text(entry("Why?", answer))


def test_hostile_texts_are_text() -> None:
    call = {"name": HOSTILE, "args": {HOSTILE: HOSTILE}, "id": "1", "type": "tool_call"}
    prompt = json.dumps(
        [{"lc": 1, "type": "constructor", "id": ["x"], "kwargs": {"role": HOSTILE, "content": HOSTILE}}]
    )
    answer = ChatGeneration(message=AIMessage("y", tool_calls=[call]))
    for hostile in (
        Entry((HOSTILE, HOSTILE), [Generation(HOSTILE)], 1.0, cell=HOSTILE),
        Entry((prompt, f"[('{HOSTILE[:8]}', 1), ('model', {HOSTILE!r})]"), [answer], 1.0),
    ):
        html = entry_html(hostile)
        found = Elements(html)
        known = {"style", "div", "dl", "dt", "dd", "bdi", "h4", "pre", "details", "summary"}
        assert set(found.names) <= known
        assert found.attributes <= {"class", "dir"}
        for shown in (html, entry_text(hostile)):
            shown.encode()
            assert not {"\x00", "\x1b", "\u202e"} & set(shown)
