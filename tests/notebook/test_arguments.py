"""What can be written after `%llmcache`, and what is told about mistakes."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from llmcache_jupyter.notebook.arguments import HELP, SUBCOMMANDS, joined, parse
from llmcache_jupyter.session.settings import KEEP


def told(line: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert type(caught.value) is UsageError
    assert "\n" not in str(caught.value)
    return str(caught.value)


def prompt(line: str) -> str:
    return joined(parse(f"lookup {line}").prompt)


def test_nothing_is_the_status() -> None:
    assert parse("").command == parse("  ").command == "status"


def test_the_options_of_on() -> None:
    options = parse("on --maxsize 500 --policy lru --ttl 1h --mode refresh")
    assert (options.maxsize, options.policy, options.ttl, options.mode) == (500, "lru", 3600, "refresh")
    options = parse("on --maxsize none --ttl NONE")
    assert (options.maxsize, options.ttl) == (None, None)
    options = parse("on")
    assert {options.maxsize, options.policy, options.ttl, options.mode} == {KEEP}


def test_the_options_of_entries_stand_anywhere() -> None:
    for line in (
        "entries the capital --model gpt --sort hits --limit 3 --full",
        "entries --model gpt the --sort hits --full --limit=3 capital",
        "entries --full --limit 3 --sort hits --model 'gpt' 'the capital'",
    ):
        options = parse(line)
        assert joined(options.text) == "the capital", line
        assert (options.model, options.sort, options.limit, options.full) == ("gpt", "hits", 3, True)
    options = parse("entries --limit none")
    assert (joined(options.text), options.limit, options.sort, options.full) == ("", None, "stored", False)


@pytest.mark.parametrize("column", ["last-used", "last_used", "'last used'"])
def test_a_column_is_known_by_its_spellings(column: str) -> None:
    assert parse(f"entries --sort {column}").sort == "last-used"


def test_clear_delete_panel() -> None:
    options = parse("clear --model 'my model' --older-than 7d")
    assert (options.model, options.older_than) == ("my model", 7 * 86400)
    assert parse("delete ab 'cd'").ids == ["ab", "cd"]
    assert parse("panel --static").static
    assert not parse("panel").static


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("What is the capital of France?", "What is the capital of France?"),
        ('"What is it?"', "What is it?"),
        ("'What is it?'", "What is it?"),
        ("What's up?", "What's up?"),
        ("What's up, it's me", "What's up, it's me"),
        ('"What\'s up?"', "What's up?"),
        ('Define "entropy", please', 'Define "entropy", please'),
        ('Define "the entropy" please', 'Define "the entropy" please'),
        ('"a" and "b"', '"a" and "b"'),
        (r'"He said \"hi\" twice"', 'He said "hi" twice'),
        ("rock 'n' roll", "rock 'n' roll"),
        ('a lone " quote', 'a lone " quote'),
        ("-5 + 3", "-5 + 3"),
        ('"--full is what?"', "--full is what?"),
        ("{x} $x %x !x", "{x} $x %x !x"),
        ("# A heading, #1", "# A heading, #1"),
        ("Grüße, 東京?", "Grüße, 東京?"),
    ],
)
def test_a_prompt_needs_no_quotes(line: str, text: str) -> None:
    assert prompt(line) == text
    assert prompt(f"{line} --model gpt") == prompt(f"--model gpt {line}") == text


def test_a_comment_ends_the_line() -> None:
    options = parse("on --store notes.sqlite   # a bare --store: another one")
    assert (options.command, options.store) == ("on", "notes.sqlite")
    assert parse("save lesson.jsonl --used  #all of them").used
    assert parse('load "#1.jsonl" # the first').path == "#1.jsonl"
    assert parse("# nothing").command == "status"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("on --maxsize 0", ["--maxsize", "greater than 0", "'0'", "none"]),
        ("on --maxsize -3", ["--maxsize"]),
        ("on --maxsize many", ["--maxsize", "whole number", "'many'"]),
        ("on --maxsize 1.5", ["--maxsize", "whole number", "'1.5'"]),
        ("on --maxsize", ["--maxsize", "expected one argument"]),
        ("on --policy random", ["--policy", "fifo, lru", "'random'"]),
        ("on --ttl soon", ["--ttl", "'soon'", "90s, 15m, 1h, 7d"]),
        ("on --ttl 0", ["--ttl", "greater than 0"]),
        ("on --mode fast", ["--mode", "on, refresh, readonly, replay, off", "'fast'"]),
        ("on 500", ["unrecognized arguments: 500", "%llmcache on [--maxsize N|none]"]),
        ("on --max 5", ["--max"]),
        ("off now", ["now", "Write: %llmcache off"]),
        ("clear --older-than yesterday", ["--older-than", "'yesterday'", "7d"]),
        ("clear all", ["all", "Write: %llmcache clear [--model M] [--older-than 7d]"]),
        (
            "entries --sort size",
            ["--sort", "stored, model, cell, prompt, answer, tokens, took, hits, last-used"],
        ),
        ("entries --limit 0", ["--limit", "greater than 0"]),
        ("lookup", ["PROMPT", "Write: %llmcache lookup PROMPT"]),
        ("delete", ["ID", "Write: %llmcache delete ID..."]),
        ("panel --big", ["--big", "Write: %llmcache panel [--static]"]),
        ("stat", ["'stat'", "Did you mean 'stats'?"]),
        ("frobnicate", ["'frobnicate'", "`%llmcache help`"]),
        ("refresh", ["`%%llmcache refresh`", "`%llmcache on --mode refresh`"]),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_write(line: str, parts: list[str]) -> None:
    message = told(line)
    for part in parts:
        assert part in message


def test_a_mistake_leaves_the_parser_as_it_was() -> None:
    told("lookup")
    told("entries --sort size")
    assert prompt("Hello") == "Hello"
    assert told("lookup") == told("lookup")


def test_help_tells_every_subcommand_and_option() -> None:
    for name, parser in SUBCOMMANDS.items():
        if name != "status":
            assert f"%llmcache {name}" in HELP
        for option in parser._option_string_actions:
            assert option in HELP, (name, option)
            assert option in parser.correct
    assert parse("-h").command == parse("--help").command == parse("help").command == "help"
