"""Quality read from a text: better than a domain's mean where its texts differ, never wild where little is known."""

from __future__ import annotations

import numpy as np
import pytest

from ymera.nodes.learned import Learned, Outcomes, learned_history
from ymera.routing.history import History, Place

MODELS = ["careful", "quick"]
TEXTS = {
    "law": ["Is a contract valid without a signature, case {}?", "May a court hear the appeal no. {}?"],
    "sums": ["What is 3 plus {}?", "Prove that the integral of x to the {} converges, and find its value."],
}


def made(count: int, seed: int = 0) -> Outcomes:
    """Return outcomes in which the quick model fails at the harder kind of sums, and else both do well."""
    random = np.random.default_rng(seed)
    texts, domains, qualities = [], [], []
    for number in range(count):
        domain, kind = ("law", "sums")[number % 2], number // 2 % 2
        texts.append(TEXTS[domain][kind].format(number))
        domains.append(domain)
        right = [0.8, 0.1 if (domain, kind) == ("sums", 1) else 0.9]
        qualities.append(random.random(2) < right)
    return Outcomes(texts=texts, domains=domains, models=MODELS, qualities=np.array(qualities, dtype=float))


def learned(outcomes: Outcomes) -> Learned:
    return Learned(outcomes, learned_history(outcomes, History(lambda model, place: 0.5)))


def test_within_a_domain_the_text_tells_who_does_better() -> None:
    expected = learned(made(600)).predict(["What is 3 plus 7?", TEXTS["sums"][1].format(3)], ["sums", "sums"])
    assert expected[0, 1] > expected[0, 0] - 0.05
    assert expected[1, 0] > expected[1, 1] + 0.3


def test_where_the_domain_is_not_given_it_is_read_from_the_text() -> None:
    found = learned(made(600)).domains_of(["May a court hear the appeal no. 3?", "What is 3 plus 8?"])
    assert found[0]["law"] > 0.8
    assert found[1]["sums"] > 0.8
    assert all(sum(shares.values()) == pytest.approx(1) for shares in found)


def test_in_a_domain_without_outcomes_only_the_shape_speaks() -> None:
    every = learned(made(600))
    strange = every.predict(
        ["Paint the gate green.", "Prove that it is so, and find 3 of its 7 values."], ["art", "art"]
    )
    assert np.isfinite(strange).all()
    assert (strange > -0.2).all()
    assert (strange < 1.2).all()


def test_models_that_were_not_tried_everywhere_are_learned_from_what_there_is() -> None:
    outcomes = made(600)
    outcomes.qualities[::3, 1] = np.nan
    expected = learned(outcomes).predict(outcomes.texts, outcomes.domains)
    hard = [kind for kind, text in enumerate(outcomes.texts) if text.startswith("Prove")]
    assert np.isfinite(expected).all()
    assert expected[hard, 0].mean() > expected[hard, 1].mean() + 0.3


@pytest.mark.parametrize("count", [2, 5, 20])
def test_from_a_handful_of_outcomes_nothing_wild_is_learned(count: int) -> None:
    expected = learned(made(count)).predict(["What is 3 plus 7?"], ["sums"])
    assert np.isfinite(expected).all()
    assert ((expected > 0.2) & (expected < 0.9)).all()


def test_the_same_outcomes_teach_the_same() -> None:
    texts = ["What is 3 plus 7?"]
    assert (learned(made(100)).predict(texts) == learned(made(100)).predict(texts)).all()


def test_a_history_takes_outcomes_in_by_domain() -> None:
    outcomes = made(400)
    history = learned_history(outcomes, History(lambda model, place: 0.5))
    own = [row for row, domain in enumerate(outcomes.domains) if domain == "sums"]
    estimate = history.estimate("quick", Place("sums", ""))
    assert estimate.outcomes == len(own)
    assert abs(estimate.mean - outcomes.qualities[own, 1].mean()) < 0.1
