"""How the pieces of a stream become one message."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from ymera.nodes.job import Answer


def chunk(text: str = "", usage: tuple[int, int] | None = None, **told: Any) -> AIMessageChunk:
    counted: Any = usage and {"input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage)}
    return AIMessageChunk(content=text, usage_metadata=counted, response_metadata=told)


def joined(*chunks: AIMessageChunk) -> Answer:
    answer = Answer(chunks=list(chunks))
    answer.take_in()
    return answer


@pytest.mark.parametrize(
    ("chunks", "usage"),
    [
        ([chunk("a"), chunk("b", (11, 7))], (11, 7)),
        ([chunk("a", (11, 1)), chunk("b", (11, 7))], (11, 7)),
        ([chunk("a", (11, 1)), chunk("b", (0, 2)), chunk("c", (0, 4))], (11, 7)),
        ([chunk("a", (11, 3)), chunk("b"), chunk()], (11, 3)),
    ],
    ids=["once", "a new total each time", "what came on top (Google)", "not at the end"],
)
def test_the_last_report_of_usage_counts(chunks: list[AIMessageChunk], usage: tuple[int, int]) -> None:
    message = joined(*chunks).message
    assert message is not None
    assert message.usage_metadata is not None
    assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == usage


def test_what_is_told_twice_is_not_written_as_one_word() -> None:
    message = joined(
        chunk("a", finish_reason="stop", model_name="m"),
        chunk("b", finish_reason="length", model_name="m"),
        chunk("", finish_reason=""),
    ).message
    assert message is not None
    assert message.response_metadata == {"finish_reason": "length", "model_name": "m"}
    assert message.content == "ab"


def test_pieces_that_are_no_plain_text_are_joined_as_langchain_has_it() -> None:
    parts = [AIMessageChunk(content=[{"type": "text", "text": word, "index": 0}]) for word in ("a", "b")]
    assert joined(*parts, chunk("", (3, 2), finish_reason="stop")).text == "ab"


def test_of_nothing_comes_no_message() -> None:
    answer = joined()
    assert (answer.message, answer.text) == (None, "")
