"""One entry in full: the prompt by role, each answer, tool calls, figures, the model's parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llmcache_jupyter.caches import Entry
from llmcache_jupyter.caches.generation import tool_calls
from llmcache_jupyter.caches.llm_string import parameters
from llmcache_jupyter.caches.prompt import messages
from llmcache_jupyter.views.format import UNKNOWN, number, seconds
from llmcache_jupyter.views.style import safe, styled, visible
from llmcache_jupyter.views.table import CellLabel, moment

# A browser that is given a megabyte to lay out stands still
SHOWN_CHARACTERS = 20_000
_SHOWN_IN_ALL = 5 * SHOWN_CHARACTERS
_SHOWN_TEXTS = 200
_SHOWN_PARAMETER = 2_000

# `.llmcache` and the resets outweigh what JupyterLab sets for lists and code in an output
_CSS = """
.llmcache .llmcache-entry { margin: 4px 0 12px; }
.llmcache .llmcache-entry h4 { margin: 10px 0 3px; font-size: 1em; font-weight: normal;
  color: var(--jp-ui-font-color2, #757575); }
.llmcache .llmcache-entry pre { margin: 0; padding: 4px 12px; max-height: 24em; overflow: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; text-align: start; unicode-bidi: isolate;
  color: inherit; background: none; font-family: inherit; font-size: inherit; line-height: inherit;
  border: 0; border-inline-start: 3px solid var(--jp-border-color1, #8886); }
.llmcache .llmcache-entry pre.llmcache-answer { border-inline-start-color: var(--jp-brand-color1, #1976d2); }
.llmcache .llmcache-entry pre.llmcache-call { font-family: var(--jp-code-font-family, monospace);
  font-size: var(--jp-code-font-size, 13px); }
.llmcache .llmcache-entry dl { display: flex; flex-wrap: wrap; gap: 2px 22px; margin: 0; }
.llmcache .llmcache-entry dl > div { display: flex; gap: 6px; min-width: 0; max-width: 100%; }
.llmcache .llmcache-entry dt { float: none; width: auto; margin: 0; font-weight: normal; white-space: nowrap;
  color: var(--jp-ui-font-color2, #757575); }
.llmcache .llmcache-entry dd { float: none; width: auto; margin: 0; min-width: 0; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.llmcache .llmcache-entry summary { margin-top: 10px; cursor: pointer;
  color: var(--jp-ui-font-color2, #757575); }
.llmcache .llmcache-entry details dl { flex-direction: column; margin: 3px 0 0 16px; }
.llmcache .llmcache-entry details dt { flex: none; min-width: 12em; }
"""


@dataclass(frozen=True, slots=True)
class _Text:
    """A text under its heading. `kind`: prompt, answer or call. `left` characters of it are not shown."""

    heading: str
    kind: str
    text: str
    left: int = 0

    @property
    def note(self) -> str:
        return (
            f"… {number(self.left)} more characters. The whole text: `%llmcache entries --full`"
            if self.left
            else ""
        )


def entry_html(entry: Entry, *, cell_label: CellLabel = lambda cell: cell) -> str:
    """The entry in full as HTML that only shows: texts as they are, a long one cut, no secrets."""
    facts = "".join(_pair_html(*fact) for fact in _facts(entry, cell_label))
    texts = "".join(map(_text_html, _texts(entry)))
    settings = "".join(_pair_html(*setting) for setting in _settings(entry))
    folded = f"<details><summary>Model parameters</summary><dl>{settings}</dl></details>" if settings else ""
    return styled(_CSS, f"<div class='llmcache-entry'><dl>{facts}</dl>{texts}{folded}</div>")


def entry_text(entry: Entry, *, cell_label: CellLabel = lambda cell: cell) -> str:
    """The entry in full as plain text, with the same cuts, and no secrets."""
    lines = [" · ".join(f"{name} {value}" for name, value in _facts(entry, cell_label))]
    for text in _texts(entry):
        lines += ["", f"{text.heading}:", *_indented(text.text or "(empty)"), *_indented(text.note)]
    if settings := _settings(entry):
        lines += ["", "Model parameters:", *(f"  {name}: {value}" for name, value in settings)]
    return visible("\n".join(lines))


def _facts(entry: Entry, cell_label: CellLabel) -> list[tuple[str, str]]:
    return [
        ("id", entry.id),
        ("model", entry.model or UNKNOWN),
        ("cell", cell_label(entry.cell) or UNKNOWN),
        ("stored", moment(entry.stored)),
        ("took", seconds(entry.took)),
        ("tokens", number(entry.tokens)),
        ("hits", number(entry.hits)),
        ("last used", moment(entry.last_used)),
    ]


def _settings(entry: Entry) -> list[tuple[str, str]]:
    told = sorted(parameters(entry.key[1]).items())[:_SHOWN_TEXTS]
    return [
        (name, value if len(value) <= _SHOWN_PARAMETER else f"{value[:_SHOWN_PARAMETER]} …")
        for name, value in told
    ]


def _texts(entry: Entry) -> list[_Text]:
    """The prompt's messages and the answers. Where there is not room for all, the latest messages."""
    prompt = [
        _Text(f"Prompt · {message.role}" if message.role else "Prompt", "prompt", message.text)
        for message in messages(entry.prompt)
    ]
    return [*reversed(_cut(reversed(prompt))), *_cut(_answers(entry.generations))]


def _answers(generations: Sequence[Any]) -> Iterator[_Text]:
    for index, generation in enumerate(generations, 1):
        heading = f"Answer {index} of {len(generations)}" if len(generations) > 1 else "Answer"
        text, calls = str(getattr(generation, "text", "")), tool_calls(generation)
        if text or not calls:
            yield _Text(heading, "answer", text)
        for call in calls:
            arguments = json.dumps(call.get("args"), indent=2, ensure_ascii=False, default=repr)
            yield _Text(f"{heading} · tool call · {call.get('name')}", "answer llmcache-call", arguments)


def _cut(texts: Iterable[_Text]) -> list[_Text]:
    """As much of each text, and of all of them together, as is shown."""
    room = _SHOWN_IN_ALL
    shown = []
    for whole in islice(texts, _SHOWN_TEXTS):
        text = whole.text[: min(room, SHOWN_CHARACTERS)]
        room -= len(text)
        shown.append(_Text(whole.heading, whole.kind, text, len(whole.text) - len(text)))
    return shown


def _pair_html(name: str, value: str) -> str:
    return f"<div><dt>{safe(name)}</dt><dd><bdi>{safe(value)}</bdi></dd></div>"


def _text_html(text: _Text) -> str:
    body = safe(text.text) if text.text or text.left else "<span class='llmcache-muted'>empty</span>"
    note = f"<div class='llmcache-muted'>{safe(text.note)}</div>" if text.left else ""
    return f"<h4>{safe(text.heading)}</h4><pre dir='auto' class='llmcache-{text.kind}'>{body}</pre>{note}"


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
