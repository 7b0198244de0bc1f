"""The README's killed run, made anew on the embedded models. A file of its own may be run beside the first one's."""

from __future__ import annotations

import pytest

from docs.shown import KILLED_RUN

from .test_first_run import assert_whole


@pytest.mark.embedded
@pytest.mark.timeout(1800)
def test_a_killed_run_is_resumed_as_the_readme_shows_it() -> None:
    for text in (KILLED_RUN.kept(), KILLED_RUN.run()):
        before, resumed = text.split("plan: ", 1)[1], assert_whole(text)
        assert before.count("planning: embedded") == 1, "what was finished is not made again"
        assert "interrupted" in text
        assert {"planning", "generation"} <= set(resumed.answered) | {r.phase for r in resumed.rows}
