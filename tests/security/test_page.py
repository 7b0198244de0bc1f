"""The page of the documents says what the tests try, and what the limits are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ymera.nodes import sse
from ymera.nodes.verdicts import LONGEST
from ymera.routing import limits

from .report import BEGIN, END, PAGE, counted, table
from .test_canaries import Server, secrets

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NUMBERS = {
    "task": limits.LONGEST_TASK,
    "standard input": limits.LARGEST_TASK_BYTES,
    "parameters": limits.LARGEST_PARAMETERS,
    "levels of parameters, and of a setting's JSON": limits.DEEPEST,
    "name of an agent, phase, model, provider or thread": limits.LONGEST_NAME,
    "phases, or providers, of a request": limits.MOST_NAMES,
    "file that is read whole: catalogue, parameters, an edited text": limits.LARGEST_FILE,
    "setting that is JSON": limits.LONGEST_VARIABLE,
    "one value of a checkpoint": limits.LARGEST_VALUE,
    "one event of a provider's reply": sse.LONGEST_EVENT,
    "a provider's refusal": sse.LONGEST_REFUSAL,
    "verdict": LONGEST,
}


def test_the_table_of_limits_is_that_of_the_code() -> None:
    text = PAGE.read_text("utf-8")
    told = dict(re.findall(r"^\| ([^|]+) \| ([\d,]+) [a-z]+ \|", text, re.MULTILINE))
    assert {name: int(number.replace(",", "")) for name, number in told.items()} == NUMBERS


def test_the_counts_are_those_of_the_tests() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-m",
        "security or not security",
        str(HERE),
    ]
    collected = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    expected = table(counted(collected), len(secrets(Server(), logins=True)))
    told = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    assert told == expected, "run `poe security`"
