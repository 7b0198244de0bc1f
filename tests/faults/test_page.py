"""The page of the documents says what the matrix asks for. It is not part of the command that writes it."""

from __future__ import annotations

import re

from .matrix import PAIRS, SITUATIONS, expected_table
from .report import PAGE, page


def test_the_page_is_what_the_command_writes() -> None:
    text = PAGE.read_text("utf-8")
    found = "".join(f"{line}\n" for line in text.splitlines() if line.startswith("- "))
    assert text == page(expected_table(), found), "run `poe fault-matrix`"


def test_the_page_tells_of_all_cells_and_of_nothing_that_should_not_be() -> None:
    figures = dict(re.findall(r"^- ([\w ]+): (\S+)", PAGE.read_text("utf-8"), re.MULTILINE))
    assert figures == {
        "cells": str(len(PAIRS) * len(SITUATIONS)),
        "unclassified faults": "0",
        "broken answers shown as success": "0",
        "answers with duplicated text": "0",
        "amplification": "1.00",
        "FailoverBench": "16",
    }
