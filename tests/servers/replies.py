"""What a provider's stand-in can be told to say: an answer, or one of the ways in which things go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Finish = Literal["stop", "length", "filter"]
Tokens = tuple[int, int]

FaultName = Literal[
    # refused with a status
    "400", "401", "402", "403", "404", "408", "413", "422", "429", "500", "502", "503", "504", "529",
    "context", "filter", "quota",
    # the connection
    "reset", "hang_up", "silent", "stall_first", "stall", "cut", "reset_midway",
    # the events of a stream
    "bad_json", "bad_json_only", "not_utf8", "error_event", "error_first", "empty_choices", "no_events",
    # the document in place of a stream
    "error_in_200", "broken_document", "html", "html_as_bytes",
    # 100 MB
    "huge_comments", "huge_noise", "huge_answer", "huge_line", "huge_document", "huge_refusal", "gzip_bomb",
]  # fmt: skip
"""What each does stands in failing.py; "hang_up" closes before the headers as "reset" does, with FIN."""


@dataclass(frozen=True)
class Answer:
    """A healthy answer, streamed word by word.

    Args:
        text: what the model says.
        finish: why it ended; None: the stream ends cleanly without saying why.
        wait_s: seconds between the headers and the first word.
        headers_wait_s: seconds before the headers.
        done: send the format's own closing line (`[DONE]`).
        usage: where the tokens stand: in the format's own place, "beside" the last choice, "twice" with smaller
            numbers first (then the finish reason comes twice too, where they stand side by side), or nowhere.
        afterthought: text that comes after the finish reason.
    """

    text: str = "Hello from the model."
    finish: Finish | None = "stop"
    wait_s: float = 0.0
    headers_wait_s: float = 0.0
    done: bool = True
    input_tokens: int = 11
    output_tokens: int = 7
    usage: Literal["own", "beside", "twice", "none"] = "own"
    afterthought: str = ""

    @property
    def words(self) -> list[str]:
        """The pieces that are streamed."""
        return [word + " " for word in self.text.split(" ")[:-1]] + [self.text.split(" ")[-1]]

    @property
    def tokens(self) -> Tokens:
        """Input and output tokens."""
        return self.input_tokens, self.output_tokens


@dataclass(frozen=True)
class Fault:
    """A failure.

    Args:
        retry_after: the header of that name, for a fault with a status.
        message: what is said in place of the provider's own words.
        retry_delay: Google's RetryInfo, for a 429 of its own.
        says: what an error inside a 200 is about: a status, "context", "filter" or "quota".
    """

    name: FaultName
    retry_after: str = ""
    message: str = ""
    retry_delay: str = ""
    says: str = "500"


Reply = Answer | Fault


@dataclass(frozen=True)
class Event:
    """A piece of a stream, and the tokens that it reports so far: a provider bills what it last reported."""

    data: bytes
    tokens: Tokens | None = None
