"""A provider at which things go wrong by chance, and its books: what it reported to each request."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.servers.chaos import Chaos
from tests.servers.faulty import Answer, Fault, FaultyServer, Reply, Request
from tests.servers.replies import Tokens
from ymera.routing.catalogue import builtin_catalogue

CLIENTS = ("anthropic", "azure", "cohere", "deepseek", "google", "groq", "mistral", "openai")
PHASES = builtin_catalogue().phases
_OPENINGS = {name: phase.prompt.strip().partition(".")[0] for name, phase in PHASES.items()}
_TAG = re.compile(r"module (m\d+)")

PLAIN = "This answer holds no verdict."
PASSING: tuple[Reply, ...] = (
    Fault("429"),
    Fault("429", retry_after="1"),
    Fault("429", retry_after="60"),
    Fault("500"),
    Fault("502"),
    Fault("503"),
    Fault("529"),
    Fault("reset"),
    Fault("hang_up"),
    Fault("cut"),
    Fault("reset_midway"),
    Fault("bad_json"),
    Fault("bad_json_only"),
    Fault("not_utf8"),
    Fault("error_event"),
    Fault("error_first"),
    Fault("error_event", says="529"),
    Fault("error_event", says="429"),
    Fault("error_in_200"),
    Fault("broken_document"),
    Fault("html"),
    Fault("empty_choices"),
    Fault("no_events"),
    Answer(" "),
    Answer("half of an ans", finish=None),
    Answer("half of an answer", finish="length"),
    Answer(PLAIN),
)
LASTING: tuple[Reply, ...] = (
    Fault("401"),
    Fault("402"),
    Fault("403"),
    Fault("404"),
    Fault("408"),
    Fault("413"),
    Fault("422"),
    Fault("504"),
    Fault("context"),
    Fault("quota"),
    Fault("filter"),
    Answer("", finish="filter"),
)
SILENT: tuple[Reply, ...] = (Fault("silent"), Fault("stall_first"), Fault("stall"))
BROKEN = Answer().text
"""The text with which a reply begins that breaks off."""


class Receipt(NamedTuple):
    """What came of a request.

    Args:
        key: run, phase, provider, model.
        tokens: what was reported to it; None where the reply broke off before, or did not report.
    """

    key: tuple[str, str, str, str]
    tokens: Tokens | None


class Till(FaultyServer):
    """A server that answers whatever it is asked, but a part of the requests with a fault, and keeps receipts.

    Args:
        rate: the part of the requests, 0..1, that goes wrong.
        silence: how often a fault is one that leaves the client waiting for ever, 0..1.
    """

    def __init__(self, seed: int, rate: float, *, silence: float = 0.05) -> None:
        super().__init__()
        self._told: dict[int, Tokens] = {}
        self._seed = seed
        loud = [*PASSING * 3, *LASTING]
        replies = [*loud, *_repeated(SILENT, round(silence * len(loud)))]
        self._faults = Chaos(seed=seed, rate=rate, replies=replies)
        self.answer(self._reply)

    def receipts(self) -> list[Receipt]:
        """Return what came of every request, in the order in which they came."""
        return [_receipt(request, self._told.get(id(request))) for request in self.requests]

    def _bill(self, request: Request, input_tokens: int, output_tokens: int) -> None:
        super()._bill(request, input_tokens, output_tokens)
        self._told[id(request)] = (input_tokens, output_tokens)  # requests are kept, so that ids stay theirs

    def _reply(self, request: Request) -> Reply:
        drawn = self._faults.draw(request)
        if drawn == Fault("reset_midway") and request.provider == "google":
            drawn = Fault("cut")  # Gemini reports tokens in every event, and a reset loses events under way
        return drawn or healthy(self._seed, request)


def healthy(seed: int, request: Request) -> Answer:
    """Return a whole answer, of a length and with tokens of its own; some forget to report what they used."""
    body = json.dumps(request.body)
    tag, phase = tag_of(body), phase_of(body)
    chance = random.Random(f"{seed} {tag} {phase} {request.provider} {request.model}")
    text = f"The {phase} of {tag}:" + " word" * chance.randrange(30)
    if PHASES[phase].judges:
        decision = chance.choice(("accept", "revise"))
        text = json.dumps({"findings": [f"what {tag} lacks"], "decision": decision})
    return Answer(
        text,
        wait_s=chance.choice((0.0, 0.0, 0.01)),
        input_tokens=len(body) // 4,
        output_tokens=1 + chance.randrange(400),
        usage=chance.choice(("own", "own", "own", "own", "own", "own", "beside", "twice", "none")),
    )


def tag_of(body: str) -> str:
    """Return the name of the run that sent a request."""
    found = _TAG.search(body)
    assert found, body
    return found[1]


def phase_of(body: str) -> str:
    """Return the phase that sent a request, told by its instructions."""
    [phase] = [name for name, opening in _OPENINGS.items() if opening in body]
    return phase


def _receipt(request: Request, tokens: Tokens | None) -> Receipt:
    body = json.dumps(request.body)
    return Receipt((tag_of(body), phase_of(body), request.provider, request.model), tokens)


def _repeated(replies: Sequence[Reply], times: int) -> Iterable[Reply]:
    return (replies[number % len(replies)] for number in range(times))
