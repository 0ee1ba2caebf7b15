"""Entries as the JupyterLab extension is told them: harmless text, no secrets, nothing too long to show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llmcache_jupyter.caches import Entry
from llmcache_jupyter.caches.generation import answer_text, tool_calls
from llmcache_jupyter.caches.llm_string import parameters
from llmcache_jupyter.caches.prompt import asked, messages
from llmcache_jupyter.notebook.protocol import Answer, EntryInFull, Explained, Row, Said
from llmcache_jupyter.views.format import short
from llmcache_jupyter.views.style import visible
from llmcache_jupyter.views.table import CellLabel

if TYPE_CHECKING:
    from llmcache_jupyter.session.missed import MissedCall
    from llmcache_jupyter.views.explanation import ExplanationView

LINE_CHARACTERS = 160
SENTENCE_CHARACTERS = 1_000
# What is copied is what was sent: more than a person reads, less than what makes a browser stand still
SENT_CHARACTERS = 100_000
_SENT_MESSAGES = 200


def row(entry: Entry, cell_label: CellLabel) -> Row:
    """The entry in a list."""
    label = cell_label(entry.cell)
    return {
        "id": entry.id,
        "prompt": visible(short(asked(entry.prompt), LINE_CHARACTERS)),
        "answer": visible(short(answer_text(entry.generations), LINE_CHARACTERS)),
        "model": None if entry.model is None else visible(entry.model),
        "cell": entry.cell,
        "label": None if label is None else visible(label),
        "stored": entry.stored,
        "last_used": entry.last_used,
        "took": entry.took,
        "tokens": entry.tokens,
        "hits": entry.hits,
    }


def missed_row(call: MissedCall, cell_label: CellLabel) -> Row:
    """A call that missed, and whose answer is not stored, in a list of entries."""
    label = cell_label(call.cell)
    return {
        "id": call.id,
        "prompt": visible(short(asked(call.sent), LINE_CHARACTERS)),
        "answer": "",
        "model": None if call.model is None else visible(call.model),
        "cell": call.cell,
        "label": None if label is None else visible(label),
        "stored": None,
        "last_used": None,
        "took": None,
        "tokens": None,
        "hits": 0,
    }


def explained(view: ExplanationView) -> Explained:
    """The sentences of an explanation."""
    return {
        "headline": _sentence(view.headline),
        "reason": _sentence(view.explanation.reason),
        "nearest": view.explanation.nearest,
        "differences": [
            {
                "words": _sentence(words),
                "stored": None if stored is None else _sentence(stored),
                "asked": None if asked_now is None else _sentence(asked_now),
            }
            for words, stored, asked_now in view.differences
        ],
        "asides": [_sentence(aside) for aside in view.asides],
        "warnings": [_sentence(note) for note in view.explanation.notes],
    }


def in_full(entry: Entry, cell_label: CellLabel) -> EntryInFull:
    """The entry with its whole texts, or as much of them as is sent. Of a long chat, the latest messages."""
    chat = [_said(message.role, message.text) for message in messages(entry.prompt)[-_SENT_MESSAGES:]]
    return {
        **row(entry, cell_label),
        "messages": chat,
        "answers": [_answer(generation) for generation in entry.generations],
        "parameters": {
            visible(name): _cut(value)[0] for name, value in sorted(parameters(entry.key[1]).items())
        },
    }


def _said(role: str | None, text: str) -> Said:
    shown, left = _cut(text)
    return {"role": None if role is None else visible(role), "text": shown, "left": left}


def _answer(generation: Any) -> Answer:
    shown, left = _cut(str(getattr(generation, "text", "")))
    calls = [
        (
            visible(call.get("name")),
            _cut(json.dumps(call.get("args"), indent=2, ensure_ascii=False, default=repr))[0],
        )
        for call in tool_calls(generation)
    ]
    return {"text": shown, "left": left, "calls": calls}


def _sentence(text: str) -> str:
    return visible(short(text, SENTENCE_CHARACTERS))


def _cut(text: str) -> tuple[str, int]:
    return visible(text[:SENT_CHARACTERS]), max(0, len(text) - SENT_CHARACTERS)
