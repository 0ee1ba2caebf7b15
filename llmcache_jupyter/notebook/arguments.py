"""What can be written after `%llmcache`: a parser for each subcommand, and the help."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from llmcache_jupyter.caches.limits import POLICIES
from llmcache_jupyter.caches.selection import SORT_COLUMNS
from llmcache_jupyter.errors import InvalidSettingError
from llmcache_jupyter.session.duration import seconds
from llmcache_jupyter.session.scope import MODES
from llmcache_jupyter.session.settings import KEEP
from llmcache_jupyter.session.stores import DEFAULT_STORE

COLUMNS = tuple(column.replace("_", "-") for column in SORT_COLUMNS)

HELP = f"""\
One cache for all model calls of this session.

  %llmcache                     status: on or off, entries, hits, misses, what was saved
  %llmcache on                  switch on; on again: change what is named, keep the entries
      --maxsize N|none            entries at most
      --policy fifo|lru           over the maximum, the one stored (fifo) or used (lru) longest ago goes
      --ttl 1h|none               how long an entry lives: 90s, 15m, 1h, 7d
      --mode MODE                 what happens to calls, see below
      --store [STORE|none]        where entries outlive the kernel: a file ({DEFAULT_STORE} unless named),
                                  redis://host:6379/0?namespace=team, or a variable that is a cache
      --load FILE                 a file of entries to load first
  %llmcache off                 switch off, keep the entries
  %llmcache save FILE           write the entries to a file, one a line, without credentials
      --used                      those that this run of the notebook used
      --cell N                    those that cell [N] used
      --model M                   those of this model
      --add                       besides those that the file holds
  %llmcache load FILE           put a saved file's entries into the cache
  %llmcache clear               remove all entries
      --shared                    of a store that others use too
      --model M                   those of this model
      --older-than 7d             those stored longer ago
  %llmcache entries [TEXT]      a DataFrame of the entries, or of those that contain TEXT
      --model M                   those of this model
      --sort COLUMN               {", ".join(COLUMNS)}
      --limit N|none              50 unless told
      --full                      whole prompts and answers
  %llmcache lookup PROMPT       what is cached for this prompt, as you would write it
      --model M                   by this model
  %llmcache delete ID...        remove single entries; a unique beginning of an id is enough
  %llmcache stats               a DataFrame of hits, misses and savings by model
  %llmcache last                what the latest calls were: those of the last cell that made any
  %llmcache why [ID|PROMPT]     why the last miss, or another call, was not a hit
  %llmcache panel               the panel
      --static                    a plain table instead
  %llmcache help                this text

%%llmcache MODE as the first line of a cell sets the mode of that cell, and reports its calls:

  on        look up, and store          refresh   ask the model anew, and store
  readonly  look up, store nothing      replay    look up; a miss is an error before anything is sent
  off       neither

Examples:

  %llmcache on --maxsize 500 --ttl 7d
  %llmcache entries capital --sort hits --limit 10
  %llmcache lookup What is the capital of France?
  %llmcache save lesson.jsonl --used
  %llmcache on --mode replay --load lesson.jsonl
"""

_USAGES = {
    "status": "",
    "on": "[--maxsize N|none] [--policy fifo|lru] [--ttl 1h|none] [--mode MODE] [--store [STORE]] "
    "[--load FILE]",
    "off": "",
    "save": "FILE [--used] [--cell N] [--model M] [--add]",
    "load": "FILE",
    "clear": "[--model M] [--older-than 7d] [--shared]",
    "entries": "[TEXT] [--model M] [--sort COLUMN] [--limit N|none] [--full]",
    "lookup": "PROMPT [--model M]",
    "delete": "ID...",
    "stats": "",
    "last": "",
    "why": "[ID|PROMPT]",
    "panel": "[--static]",
    "help": "",
}

_TAKE_TEXT = frozenset({"entries", "lookup", "why"})

# A quoted word may hold spaces. Quotes that don't stand around a whole word quote nothing: "What's up?"
_QUOTED = r""""(?:[^"\\]|\\.)*"|'[^']*'"""
_WORD = re.compile(rf"(?:--[\w-]+=)?(?:{_QUOTED})(?=\s|$)|\S+")


class Parser(MagicArgumentParser):
    """The parser of one subcommand. Its errors are one line that ends with what to write instead."""

    def __init__(self, name: str, usage: str) -> None:
        super().__init__(prog=f"%llmcache {name}")
        self.allow_abbrev = False
        self.correct = f"%llmcache {name} {usage}".rstrip()

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')}. Write: {self.correct}")


def parse(line: str) -> Namespace:
    """The line's subcommand as `command`, and its options. An empty line is the subcommand `status`.

    - Text and prompts need no quotes. Quotes around the whole of them are taken off.
    - A comment ends the line, but for those that take a text: a prompt may have a heading.

    Raises:
        UsageError: the line can't be read; the message says what to write instead.
    """
    name, *words = _WORD.findall(line) or ["status"]
    if name.startswith("#"):
        name, words = "status", []
    if name in ("-h", "--help"):
        name = "help"
    if name in MODES and name not in SUBCOMMANDS:
        raise UsageError(
            f"{name!r} is a mode: write `%%llmcache {name}` as a cell's first line, "
            f"or `%llmcache on --mode {name}` for the session."
        )
    if name not in SUBCOMMANDS:
        raise UsageError(unknown("subcommand", name, SUBCOMMANDS, "`%llmcache help` lists them."))
    if name not in _TAKE_TEXT:
        words = list(takewhile(lambda word: not word.startswith("#"), words))
    options: Namespace = SUBCOMMANDS[name].parse_intermixed_args(words)
    options.command = name
    return options


def unknown(noun: str, name: str, names: Any, hint: str) -> str:
    """The message about a name that isn't one, with the nearest that is, or with `hint`."""
    near = get_close_matches(name, list(names), n=1)
    return f"There is no {noun} {name!r}. " + (f"Did you mean {near[0]!r}?" if near else hint)


def unquote(text: str) -> str:
    """The text without the quotes around the whole of it."""
    if not re.fullmatch(_QUOTED, text, re.DOTALL):
        return text
    return re.sub(r'\\(["\\])', r"\1", text[1:-1]) if text[0] == '"' else text[1:-1]


def joined(words: list[str]) -> str:
    """A text that was written without quotes, or with quotes around the whole of it."""
    return unquote(" ".join(words))


def _whole_number(text: str) -> int:
    if not text.isdecimal() or int(text) <= 0:
        raise ArgumentTypeError(f"it takes a whole number greater than 0, or none, not {text!r}")
    return int(text)


def _duration(text: str) -> float:
    try:
        return seconds(unquote(text))
    except InvalidSettingError as error:
        raise ArgumentTypeError(str(error).rstrip(".")) from None


def _cell(text: str) -> str:
    if not re.fullmatch(r"\d+|\[\d+\]", text):
        raise ArgumentTypeError(f"it takes a cell's number as the notebook shows it, 7 or [7], not {text!r}")
    return text


def _or_none(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text.lower() == "none" else kind(text)


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def choose(text: str) -> str:
        name = unquote(text).replace("_", "-").replace(" ", "-")
        if name not in names:
            raise ArgumentTypeError(f"it takes one of {', '.join(names)}, not {text!r}")
        return name

    return choose


def _subcommands() -> dict[str, Parser]:
    parsers = {name: Parser(name, usage) for name, usage in _USAGES.items()}
    on, clear, entries, lookup = (parsers[name] for name in ("on", "clear", "entries", "lookup"))
    save, load = parsers["save"], parsers["load"]
    on.add_argument("--maxsize", type=_or_none(_whole_number), default=KEEP)
    on.add_argument("--policy", type=_one_of(POLICIES), default=KEEP)
    on.add_argument("--ttl", type=_or_none(_duration), default=KEEP)
    on.add_argument("--mode", type=_one_of(MODES), default=KEEP)
    on.add_argument("--store", nargs="?", type=_or_none(unquote), const=DEFAULT_STORE, default=KEEP)
    on.add_argument("--load", type=unquote)
    for parser in (save, load):
        parser.add_argument("path", type=unquote, metavar="FILE")
    save.add_argument("--used", action="store_true")
    save.add_argument("--cell", type=_cell)
    save.add_argument("--add", action="store_true")
    for parser in (clear, entries, lookup, save):
        parser.add_argument("--model", type=unquote)
    clear.add_argument("--older-than", type=_duration)
    clear.add_argument("--shared", action="store_true")
    entries.add_argument("text", nargs="*", metavar="TEXT")
    entries.add_argument("--sort", type=_one_of(COLUMNS), default="stored")
    entries.add_argument("--limit", type=_or_none(_whole_number), default=50)
    entries.add_argument("--full", action="store_true")
    lookup.add_argument("prompt", nargs="+", metavar="PROMPT")
    parsers["why"].add_argument("what", nargs="*", metavar="ID|PROMPT")
    parsers["delete"].add_argument("ids", nargs="+", metavar="ID", type=unquote)
    parsers["panel"].add_argument("--static", action="store_true")
    return parsers


SUBCOMMANDS = _subcommands()
