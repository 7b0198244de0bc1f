"""How a verdict is read from what a judging model answers."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.nodes.verdicts import LONGEST, SCHEMA, describe, parse_verdict, with_checks
from ymera.routing.attempts import Check, Verdict

ACCEPT = '{"findings": [], "decision": "accept"}'
REVISE = '{"findings": ["a bug"], "decision": "revise"}'


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        pytest.param(ACCEPT, "accept", id="plain"),
        pytest.param(REVISE, "revise", id="with a finding"),
        pytest.param(f"```json\n{ACCEPT}\n```", "accept", id="in a fence"),
        pytest.param(f"I looked at it.\n{REVISE}\nThat is all.", "revise", id="between words"),
        pytest.param('{"decision": "accept", "findings": []}', "accept", id="in the other order"),
        pytest.param('{"findings": [], "decision": "accept", "score": 9}', "accept", id="with one key more"),
        pytest.param(
            '{"findings": ["use {x}, not {"], "decision": "revise"}', "revise", id="braces in a finding"
        ),
        pytest.param(
            '{"findings": ["say \\"no\\""], "decision": "revise"}', "revise", id="quotes in a finding"
        ),
        pytest.param(f"{{ the result {{x}} }} {ACCEPT}", "accept", id="braces before it"),
        pytest.param(f'{{"a": {ACCEPT}', "accept", id="after an object that is never closed"),
        pytest.param(f"{REVISE}{{{{{{", "revise", id="braces after it"),
        pytest.param("accept", None, id="free text"),
        pytest.param("Decision: accept. Findings: none.", None, id="a sentence"),
        pytest.param("", None, id="nothing"),
        pytest.param("{}", None, id="an empty object"),
        pytest.param('{"decision": "accept"}', None, id="without findings"),
        pytest.param('{"findings": []}', None, id="without a decision"),
        pytest.param('{"findings": [], "decision": "accept please"}', None, id="words around the decision"),
        pytest.param('{"findings": [], "decision": "ACCEPT"}', None, id="in capitals"),
        pytest.param('{"findings": [], "decision": "approve"}', None, id="another word"),
        pytest.param('{"findings": [], "decision": true}', None, id="a truth value"),
        pytest.param('{"findings": [], "decision": ["accept"]}', None, id="a list"),
        pytest.param('{"findings": "none", "decision": "accept"}', None, id="findings as a text"),
        pytest.param('{"findings": [1], "decision": "accept"}', None, id="a finding that is no text"),
        pytest.param('{"findings": null, "decision": "accept"}', None, id="findings that are null"),
        pytest.param('["accept"]', None, id="a list of words"),
        pytest.param("{'findings': [], 'decision': 'accept'}", None, id="Python's own quotes"),
        pytest.param('{"findings": [], "decision": "accept"', None, id="cut off"),
        pytest.param(
            f'{{"said": {ACCEPT}, "decision": "perhaps"}}', None, id="a verdict within another object"
        ),
        pytest.param(
            json.dumps({"findings": [ACCEPT], "decision": "perhaps"}), None, id="a verdict within a finding"
        ),
        pytest.param('{"a":' * 100_000, None, id="nested without end"),
        pytest.param("{" * LONGEST, None, id="braces without end"),
        pytest.param("x" * LONGEST + ACCEPT, None, id="far behind what a verdict may be"),
    ],
)
def test_a_verdict_is_read_from_a_closed_vocabulary(text: str, decision: str | None) -> None:
    verdict = parse_verdict(text)
    assert (verdict and verdict["decision"]) == decision


@pytest.mark.parametrize("texts", [(ACCEPT, REVISE), (REVISE, ACCEPT), (ACCEPT, ACCEPT, REVISE, ACCEPT)])
def test_of_several_verdicts_one_that_asks_to_revise_counts(texts: tuple[str, ...]) -> None:
    # What was judged may hold a verdict of its own, which the model then quotes.
    answer = "The result says {}. I decide {}".format(texts[0], " ".join(texts[1:]))
    assert parse_verdict(answer) == Verdict(decision="revise", findings=["a bug"], checks=[])


@given(st.text(), st.sampled_from([ACCEPT, REVISE]), st.text(alphabet=st.characters(exclude_characters="{}")))
def test_words_before_and_after_a_verdict_never_turn_a_revision_into_an_acceptance(
    before: str, verdict: str, after: str
) -> None:
    read = parse_verdict(f"{before}\n{verdict}\n{after}")
    if verdict == REVISE:
        assert read is None or read["decision"] == "revise"


@given(st.one_of(st.text(), st.text(alphabet='{}[]",:acept \\')))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    verdict = parse_verdict(text)
    assert verdict is None or verdict["decision"] in ("accept", "revise")


@given(st.lists(st.text(max_size=20), max_size=5), st.sampled_from(["accept", "revise"]))
def test_what_fits_the_schema_is_read_as_it_stands(findings: list[str], decision: str) -> None:
    answer = {"findings": findings, "decision": decision}
    jsonschema.validate(answer, SCHEMA)
    read = parse_verdict(json.dumps(answer))
    assert read == Verdict(
        decision="accept" if decision == "accept" else "revise", findings=findings, checks=[]
    )


PASSED = Check(name="Python block 1 compiles", passed=True, detail="3 lines")
FAILED = Check(name="Python block 2 compiles", passed=False, detail="SyntaxError: invalid syntax")


@pytest.mark.parametrize(
    ("verdict", "checks", "decision", "findings"),
    [
        pytest.param(ACCEPT, [], "accept", [], id="no check"),
        pytest.param(ACCEPT, [PASSED], "accept", [], id="all passed"),
        pytest.param(
            ACCEPT,
            [PASSED, FAILED],
            "revise",
            ["Python block 2 compiles: no. SyntaxError: invalid syntax"],
            id="a failed check overrules an acceptance",
        ),
        pytest.param(REVISE, [PASSED], "revise", ["a bug"], id="passed checks do not overrule a revision"),
        pytest.param(
            REVISE,
            [FAILED],
            "revise",
            ["Python block 2 compiles: no. SyntaxError: invalid syntax", "a bug"],
            id="the check's finding stands first",
        ),
    ],
)
def test_checks_stand_beside_a_verdict(
    verdict: str, checks: list[Check], decision: str, findings: list[str]
) -> None:
    read = parse_verdict(verdict)
    assert read is not None
    together = with_checks(read, checks)
    assert together == {"decision": decision, "findings": findings, "checks": checks}


def test_a_verdict_is_described_for_the_phases_that_read_it() -> None:
    assert (
        describe(Verdict(decision="revise", findings=["a", "b"], checks=[]))
        == "Decision: revise\nFindings:\n- a\n- b"
    )
    assert (
        describe(Verdict(decision="accept", findings=[], checks=[])) == "Decision: accept\nFindings:\n- none"
    )
