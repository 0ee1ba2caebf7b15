"""Plain chat answers, built in less than half the time that LangChain's constructors take.

Most answers are text, with what the provider tells about the call. Their few fields are checked here, as
strictly as the constructors do; an answer with anything else in it is none of ours. Imports nothing of
LangChain itself.
"""

from __future__ import annotations

from typing import Any

from llmcache_jupyter.clients.pydantic_twin import twin

_COUNTS = frozenset({"input_tokens", "output_tokens", "total_tokens"})
_DETAILS = frozenset({"input_token_details", "output_token_details"})
_INT = frozenset({int})
_NO_FIELD = frozenset({"type"})
_KINDS = {
    "type": str,
    "content": str,
    "additional_kwargs": dict,
    "response_metadata": dict,
    "usage_metadata": dict,
    "id": str,
    "name": str,
}
_EXAMPLE: dict[str, Any] = {
    "content": "x",
    "additional_kwargs": {"refusal": None},
    "response_metadata": {"model_name": "m", "logprobs": None},
    "usage_metadata": {
        "input_tokens": 1,
        "output_tokens": 1,
        "total_tokens": 2,
        "input_token_details": {"audio": 0},
        "output_token_details": {"audio": 0, "reasoning": 0},
    },
    "id": "i",
    "name": "n",
}


class PlainAnswers:
    """Makes a `ChatGeneration` around an `AIMessage` from the fields of a plain answer.

    - What it makes is what the constructors make. Where they make something else of an example, because
      LangChain has changed, it makes nothing.
    """

    def __init__(self, generation_class: Any, message_class: Any) -> None:
        self._message = message_class(content="")
        self._generation = generation_class(message=self._message, generation_info=None)
        self._text = type(self._generation.text)
        answer = message_class(**_EXAMPLE)
        self._is_right = _is_same(
            self._built(_EXAMPLE, {"a": 1}), generation_class(message=answer, generation_info={"a": 1})
        )

    def build(self, message: dict[str, Any], info: Any) -> Any | None:
        """The generation of these fields; None where they are for the constructors to judge."""
        if self._is_right and (info is None or type(info) is dict) and _is_plain(message):
            return self._built(message, info)
        return None

    def _built(self, message: dict[str, Any], info: dict[str, Any] | None) -> Any:
        fields = {
            **self._message.__dict__,
            "additional_kwargs": {},
            "response_metadata": {},
            "tool_calls": [],
            "invalid_tool_calls": [],
            **message,
            "type": self._message.type,
        }
        answer = twin(self._message, fields, message.keys() - _NO_FIELD, {})
        about = {"text": self._text(message["content"]), "generation_info": info, "message": answer}
        return twin(self._generation, {**self._generation.__dict__, **about}, {*about})


def _is_plain(message: dict[str, Any]) -> bool:
    for name, part in message.items():
        if type(part) is not _KINDS.get(name):
            return False
    return (
        "content" in message
        and "tool_calls" not in message.get("additional_kwargs", ())  # they become the message's own
        and ("usage_metadata" not in message or _is_usage(message["usage_metadata"]))
    )


def _is_usage(usage: dict[str, Any]) -> bool:
    for name, value in usage.items():
        if name in _COUNTS:
            if type(value) is not int:
                return False
        elif (
            name not in _DETAILS or type(value) is not dict or not _INT.issuperset(map(type, value.values()))
        ):
            return False
    return usage.keys() >= _COUNTS


def _is_same(one: Any, other: Any) -> bool:
    """Whether two generations are the same inside, down to the order of their fields."""
    return (
        repr(one.__dict__) == repr(other.__dict__)
        and type(one.text) is type(other.text)
        and _inside(one) == _inside(other)
        and _inside(one.message) == _inside(other.message)
    )


def _inside(model: Any) -> tuple[Any, ...]:
    return (
        list(model.__dict__.items()),
        model.__pydantic_extra__,
        model.__pydantic_fields_set__,
        model.__pydantic_private__,
    )
