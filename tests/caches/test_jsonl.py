"""An entry as a line: the same again when it is read, one line whatever it holds, and no secret in it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcache_jupyter.caches import Entry, Generation
from llmcache_jupyter.caches.jsonl import MAX_LINE, line_of, read_line
from llmcache_jupyter.errors import DecodingError, EncodingError
from tests.caches.contract import TRICKY

MOMENT = 1_770_000_000.125
SECRET = "sk-proj-Abc123Def456Ghi789"


def entry(prompt: str = "Hi", llm_string: str = "[('model', 'm')]", **fields: Any) -> Entry:
    known: dict[str, Any] = {"generations": [Generation("Hello.")], "stored": MOMENT, **fields}
    return Entry((prompt, llm_string), **known)


def again(one: Entry) -> Entry:
    read = read_line(line_of(one).text.encode())
    assert not read.is_redacted
    return read.entry


def line(**changes: Any) -> bytes:
    """A good line, with these fields instead; one that is `...` is left out."""
    fields = {**json.loads(line_of(entry()).text), **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


class TestWhatComesBack:
    def test_an_entry(self) -> None:
        full = entry(took=1.25, tokens=21, cell="[7]")
        assert again(full) == full
        assert again(entry()) == entry()

    def test_an_answer_of_langchain(self) -> None:
        call = {"name": "f", "args": {"x": {"lc": 1, "type": "secret", "id": ["HOME"]}}, "id": "1"}
        message = AIMessage(
            "Paris.",
            tool_calls=[call],
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            response_metadata={"logprobs": {"content": [{"token": "Paris", "logprob": -0.5}]}},
            additional_kwargs={
                "parsed": {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}}
            },
        )
        one = entry(
            dumps([HumanMessage("The capital of France?")]), generations=[ChatGeneration(message=message)]
        )
        assert again(one) == one

    @pytest.mark.parametrize("text", TRICKY, ids=lambda text: ascii(text)[:30])
    def test_any_text(self, text: str) -> None:
        one = entry(text, text, generations=[Generation(text, {text: text})], cell=text)
        assert again(one) == one

    @given(st.text(st.characters(exclude_categories=())))
    def test_a_line_is_one_line_of_utf8(self, text: str) -> None:
        written = line_of(entry(text, generations=[Generation(text, {text: text})])).text
        assert written.splitlines() == [written]
        assert read_line(written.encode() + b"\r\n").entry.key[0] in (text, json.loads(written)["prompt"])

    def test_what_is_no_text_to_the_eye_is_escaped(self) -> None:
        written = line_of(entry("a\u2028b\x85c\x7fd\u202ee\ufefff\ud800g\0h\x1ci Zoë 猫 👩‍🚀")).text
        assert r"a\u2028b\u0085c\u007fd\u202ee\ufefff\ud800g\u0000h\u001ci Zoë 猫 👩‍🚀" in written

    def test_hits_are_not_in_it(self) -> None:
        assert line_of(entry(hits=3, last_used=MOMENT + 5)) == line_of(entry())

    def test_reading_and_writing_again_gives_the_same_line(self) -> None:
        for stored in (0.0, 1.1, MOMENT, 1_795_400_000.1234567, 4_000_000_000.999_999_6):
            written = line_of(entry(stored=stored, took=0.123456789))
            assert line_of(read_line(written.text.encode()).entry) == written

    def test_what_a_reader_sees_first(self) -> None:
        model = ChatOpenAI(model="gpt-x", api_key=SecretStr(SECRET))
        one = entry(
            dumps([HumanMessage("The capital\nof France?")]), model._get_llm_string(), took=0.8, tokens=21
        )
        assert line_of(one).text.startswith(
            '{"llmcache": 1, "model": "gpt-x", "asked": "The capital of France?", "answer": "Hello.", '
            '"stored": "2026-02-02T02:40:00.125000Z", "took": 0.8, "tokens": 21, "prompt": "[{'
        )
        assert SECRET not in line_of(one).text
        assert not line_of(one).is_redacted

    def test_long_texts_are_cut_for_the_reader_only(self) -> None:
        one = entry("a" * 1000, generations=[Generation("b" * 1000)])
        fields = json.loads(line_of(one).text)
        assert (fields["asked"], fields["answer"]) == ("a" * 199 + "…", "b" * 199 + "…")
        assert again(one) == one

    def test_what_json_cannot_hold(self) -> None:
        for info in ({"x": b""}, {"x": float("nan")}, {"x": 10**5000}):
            with pytest.raises(EncodingError):
                line_of(entry(generations=[Generation("", info)]))
        with pytest.raises(EncodingError, match="stored at inf"):
            line_of(entry(stored=float("inf")))
        with pytest.raises(EncodingError, match="too long for a file"):
            line_of(entry("ä" * (MAX_LINE // 2)))


REDACTING = """
import sys
from llmcache_jupyter.caches.credentials import without_credentials
without_credentials(sys.stdin.read())
"""


class TestSecrets:
    @pytest.mark.parametrize(
        "secret",
        [
            f"My key is {SECRET}.",
            "curl -H 'Authorization: Bearer abc123.def456'",
            "postgres://me:abc123@localhost/db",
            '{"password": "abc123"}',
            "github_pat_abc123abc123abc123",
            "xoxb-abc123abc123",
            "postgres://ada:p@abc123@host/db",
            "AWS_SECRET_ACCESS_KEY=abc123abc123",
            "OPENAI_API_KEY = 'abc123abc123'",
            "curl -H 'X-API-Key: abc123abc123'",
            "password: abc123abc123",
            "export DB_PASSWORD=abc123abc123; run",
            "Server=db;Password=abc123abc123;",
            "Cookie: sessionid=abc123abc123; theme=dark",
            "https://host/?client_secret=abc123abc123&x=1",
            "https://host/?password=abc123abc123",
            "AccountKey=abc123abc123abc123==",
            "pypi-abc123abc123abc123",
            "npm_abc123abc123abc123",
            "AWS_SESSION_TOKEN=" + "abc123" * 200,
            '{"hf_token": "abc123abc123abc123"}',
            "{'headers': [('X-Vault-Token', 'abc123abc123')]}",
            "eyJabc123abc123.eyJabc123abc123.abc123",
            "-----BEGIN RSA PRIVATE KEY-----\nabc123\n-----END RSA PRIVATE KEY-----",
        ],
    )
    @pytest.mark.parametrize("place", ["prompt", "chat", "answer", "field", "configuration"])
    def test_they_are_taken_out(self, place: str, secret: str) -> None:
        one = {
            "prompt": entry(secret),
            "chat": entry(dumps([HumanMessage(f"Hi. {secret}")])),
            "answer": entry(generations=[Generation(secret)]),
            "field": entry(generations=[Generation("", {"deep": [{"x": secret}]})]),
            "configuration": entry(llm_string=f"[('model', 'm'), ('x', '''{secret}''')]"),
        }[place]
        text, is_redacted = line_of(one)
        assert is_redacted
        assert "abc123" not in text
        assert SECRET not in text
        read = read_line(text.encode())
        assert read.is_redacted
        assert read.entry.model == "m"

    def test_a_models_name_that_looks_like_one_stays(self) -> None:
        text, is_redacted = line_of(entry(llm_string="[('model', 'xai-grok-4-0709')]"))
        assert not is_redacted
        assert "xai-grok-4-0709" in text

    def test_a_name_tells(self) -> None:
        text, is_redacted = line_of(entry(generations=[Generation("", {"password": "tiger"})]))
        assert is_redacted
        assert "tiger" not in text

    @pytest.mark.parametrize(
        "text",
        [
            "Explain basic arithmetic and bearer bonds.",
            "Call hf_hub_download(repo) or sk_learn_fit(model).",
            "git clone ssh://git@github.com/me/it",
            '{"api_key": "YOUR_API_KEY", "key": "C major", "max_tokens": "5"}',
            "Basic Auth is simple, isn't it? The password: none.",
            "gAAAAABo_x-sk-dk39dkJd92kd0sJ2ks",
            "users = df[['password', 'email']]; select(('token', 'user'))",
            '{"api_key": "string", "password": "text", "type": "object"}',
            "sk-learn-contrib2 has a Basic RandomForestClassifier",
            "def login(user: str, password: str, token=None, max_tokens=1000): ...",
            "api_key=settings.openai_key2, token = tokenizer2.encode(text)",
            "Password: none. Token: the 2nd word. secret = 12345678",
            *TRICKY,
        ],
        ids=lambda text: ascii(text)[:30],
    )
    def test_what_is_none_stays(self, text: str) -> None:
        one = entry(
            dumps([HumanMessage(text)]), generations=[Generation(text, {"token": "Paris", "cookie": "a b"})]
        )
        assert again(one) == one
        assert again(replace(one, key=(text, "[]"))).key == (text, "[]")

    @pytest.mark.parametrize(
        "text", ["token=", "user|token=|session_id=|", "?token=/path", "pypi-", "token=a1.b."]
    )
    def test_a_long_text_of_their_beginnings_takes_no_hours(self, text: str) -> None:
        long = text * (500_000 // len(text))
        subprocess.run([sys.executable, "-c", REDACTING], input=long, text=True, timeout=60, check=True)


class TestReading:
    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            (b"hello", "no JSON .Expecting value at character 1"),
            (b"\xff\xfe\x00", "no UTF-8 text"),
            (b"\x89PNG\r\n\x1a\n\x00", "no UTF-8 text"),
            (b"[" * 100_000, "no JSON that can be read"),
            (b'{"a":' * 100_000, "no JSON that can be read"),
            (b"[1, 2]", "no line of"),
            (b'"text"', "no line of"),
            (b"{}", "no line of"),
            (b'{"llmcache": 1}{"llmcache": 1}', "Extra data"),
            (b'"llmcache', r"\(Unterminated string starting at character 1\)"),
            (b'{"llmcache": 1, "llmcache": 1}', "'llmcache' is there twice"),
            (b'{"llmcache": NaN}', "NaN is no number"),
            (b'{"llmcache": -Infinity}', "Infinity is no number"),
            (b'{"llmcache": 1e999}', "1e999 is too large"),
            (b'{"llmcache": ' + b"1" * 5000 + b"}", "no JSON that can be read"),
            (line(llmcache=2), "format 2, .* format 1: pip install --upgrade"),
            (line(llmcache=True), "no line of"),
            (line(llmcache="1"), "no line of"),
            (line(prompt=...), "it has no 'prompt'"),
            (line(prompt=["Hi"]), "its 'prompt' is no text"),
            (line(llm_string=None), "its 'llm_string' is no text"),
            (line(stored=...), "it has no 'stored'"),
            (line(stored=5), "its 'stored' is no text"),
            (line(stored="yesterday"), "no moment with a time zone: 'yesterday'"),
            (line(stored="2026-01-31T12:00:00"), "no moment"),
            (line(stored="1926-01-31T12:00:00Z"), "no moment"),
            (line(took=-1), "its 'took' is no such number: -1"),
            (line(took="1"), "its 'took'"),
            (line(took=True), "its 'took'"),
            (line(tokens=1.5), "its 'tokens'"),
            (line(tokens=2**63), "its 'tokens'"),
            (line(cell=7), "its 'cell' is no text"),
            (line(generations=...), "no generations"),
            (line(generations=[]), "no generations"),
            (line(generations={}), "no generations"),
            (line(generations=["x"]), "no type of answer"),
            (line(generations=[{"type": "os.system", "text": "x"}]), "'os.system' is no type of answer"),
            (line(generations=[{"type": "llmcache_jupyter.caches.generation.Generation"}]), "is no"),
            (line(x=json.loads("[" * 200 + "]" * 200)), "nested deeper"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_what_is_no_entry(self, given: bytes, reason: str) -> None:
        with pytest.raises(DecodingError, match=reason):
            read_line(given)

    def test_a_line_that_is_too_long(self) -> None:
        with pytest.raises(DecodingError, match="longer than 67,108,864 bytes"):
            read_line(b" " * (MAX_LINE + 3))

    @given(st.binary(max_size=200))
    def test_any_bytes(self, given: bytes) -> None:
        with pytest.raises(DecodingError):
            read_line(given)

    def test_marks_ends_and_unknown_fields_do_no_harm(self) -> None:
        assert read_line(b"\xef\xbb\xbf" + line(later="x", model=5, asked=[]) + b"\r\n").entry == entry()

    def test_redacted_takes_true_alone(self) -> None:
        assert read_line(line(redacted=True)).is_redacted
        assert not read_line(line(redacted="no")).is_redacted
