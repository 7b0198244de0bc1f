"""Routers side by side: whoever sees outcomes and then says what each model's quality would be on new prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors

from ymera.nodes.domains import learned
from ymera.nodes.learned import Learned, learned_history
from ymera.routing.domains import PastTask
from ymera.routing.history import History, Place

from .routing_data import Matrix, Table, outcomes_of

NEIGHBOURS = 100
COST_STRENGTH = 20.0


class Expected(NamedTuple):
    """Expected quality (0..1) and cost (USD) of every prompt with every model."""

    quality: Matrix
    cost: Matrix


class Router(Protocol):
    """Whoever routes. `predict` is given a test's outcomes too: only the oracle may look at them."""

    @property
    def name(self) -> str: ...
    def fit(self, train: Table) -> None: ...
    def predict(self, test: Table) -> Expected: ...


class _MeanCosts:
    """A router that expects of every model what it costs on average."""

    def fit(self, train: Table) -> None:
        self._costs = train.costs.mean(axis=0)
        self._means = train.scores.mean(axis=0)

    def _expected(self, test: Table, quality: Matrix) -> Expected:
        return Expected(quality, np.tile(self._costs, (len(test), 1)))


class Random(_MeanCosts):
    name = "random"

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def predict(self, test: Table) -> Expected:
        return self._expected(test, self._random.random(test.scores.shape))


class Cheapest(_MeanCosts):
    name = "cheapest"

    def predict(self, test: Table) -> Expected:
        return self._expected(test, np.tile(-self._costs, (len(test), 1)))


class BestSingle(_MeanCosts):
    name = "best single"

    def predict(self, test: Table) -> Expected:
        best = (np.arange(len(self._means)) == self._means.argmax()).astype(float)
        return self._expected(test, np.tile(best, (len(test), 1)))


class Oracle:
    name = "oracle"

    def fit(self, train: Table) -> None:
        """Nothing to learn: it knows."""

    def predict(self, test: Table) -> Expected:
        return Expected(test.scores, test.costs)


class Length(_MeanCosts):
    """The longer a prompt, the more a good model is worth: needs no outcomes but the models' means."""

    name = "prompt length"

    def predict(self, test: Table) -> Expected:
        length = np.log1p([len(text) for text in test.texts])
        share = (length - length.min()) / max(np.ptp(length), 1e-9)
        return self._expected(test, share[:, None] * self._means)


class _Words(_MeanCosts):
    def fit(self, train: Table) -> None:
        super().fit(train)
        self._vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
        self._learn(self._vectorizer.fit_transform(train.texts), train.scores)

    def _learn(self, words: object, scores: Matrix) -> None:
        raise NotImplementedError


class Neighbours(_Words):
    name = f"kNN-{NEIGHBOURS} TF-IDF"

    def _learn(self, words: object, scores: Matrix) -> None:
        count = min(NEIGHBOURS, len(scores))
        self._index = NearestNeighbors(n_neighbors=count, metric="cosine").fit(words)
        self._scores = scores

    def predict(self, test: Table) -> Expected:
        near = self._index.kneighbors(self._vectorizer.transform(test.texts), return_distance=False)
        return self._expected(test, self._scores[near].mean(axis=1))


class Linear(_Words):
    name = "ridge TF-IDF"

    def _learn(self, words: object, scores: Matrix) -> None:
        self._ridge = Ridge(alpha=10, solver="sparse_cg", tol=1e-3).fit(words, scores)

    def predict(self, test: Table) -> Expected:
        return self._expected(test, self._ridge.predict(self._vectorizer.transform(test.texts)))


class Domain:
    """YMERA without the extra: shrunken means of the domain that a task is said to be of."""

    name = "ymera, domain given"

    def fit(self, train: Table) -> None:
        self._history = learned_history(outcomes_of(train), History(_even))
        self._costs = _domain_costs(train)

    def predict(self, test: Table) -> Expected:
        rows = {domain: self._row(test, domain) for domain in sorted(set(test.domains))}
        return Expected(np.array([rows[domain] for domain in test.domains]), _costs(self._costs, test))

    def _row(self, test: Table, domain: str) -> list[float]:
        found = self._history.estimates(test.models, Place(domain, ""))
        return [found[model].mean for model in test.models]


class Read(Domain):
    """What the matcher does where no domain is given: read in the text by nodes/domains.py, or the agent's name stands.

    All prompts are those of one agent, of whose name itself there are no outcomes.
    """

    name = "ymera, domain read in the text"
    agent = "agent"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: Table) -> None:
        super().fit(train)
        self._learned = learned(past_tasks(train, self._seed))

    def predict(self, test: Table) -> Expected:
        return super().predict(replace(test, domains=self.domains(test.texts)))

    def domains(self, texts: Sequence[str]) -> list[str]:
        """Return the domain read in each text; the agent's name where none is."""
        if self._learned is None:
            return [self.agent] * len(texts)
        among = self._learned.lessons.of_agent[self.agent]
        read = self._learned.read(texts, among, self.agent)
        return [found["name"] if found else self.agent for found in read]


def past_tasks(train: Table, seed: int) -> Iterator[PastTask]:
    """Yield the prompts as tasks of which the domain was named, in an order drawn at random."""
    for row in np.random.default_rng(seed).permutation(len(train)):
        yield PastTask(Read.agent, train.domains[row], train.texts[row])


class Ours:
    """YMERA with the extra `learn`, the domain given or read from the text."""

    def __init__(self, *, reads_domain: bool, seed: int) -> None:
        self.name = f"ymera learned, domain {'read' if reads_domain else 'given'}"
        self._reads_domain, self._seed = reads_domain, seed

    def fit(self, train: Table) -> None:
        outcomes = outcomes_of(train)
        history = learned_history(outcomes, History(_even))
        self._learned = Learned(outcomes, history, seed=self._seed)
        self._costs = _domain_costs(train)

    def predict(self, test: Table) -> Expected:
        quality = self._learned.predict(test.texts, None if self._reads_domain else test.domains)
        if not self._reads_domain:
            return Expected(quality, _costs(self._costs, test))
        read = self._learned.domains_of(test.texts)
        cost = [sum(share * self._costs[domain] for domain, share in row.items()) for row in read]
        return Expected(quality, np.array(cost))


def baselines(seed: int) -> list[Router]:
    return [Random(seed), Cheapest(), BestSingle(), Oracle(), Neighbours(), Linear()]


def ours(seed: int) -> list[Router]:
    return [Domain(), Read(seed), Ours(reads_domain=False, seed=seed), Ours(reads_domain=True, seed=seed)]


def _even(model: str, place: Place) -> float:
    """Know nothing beforehand: these models are not in the catalogue."""
    return 0.5


def _domain_costs(train: Table) -> Mapping[str, Matrix]:
    """Return what each model costs in a domain, shrunk towards what it costs everywhere."""
    own, overall = np.array(train.domains), train.costs.mean(axis=0)
    return {
        domain: (train.costs[own == domain].sum(axis=0) + COST_STRENGTH * overall)
        / ((own == domain).sum() + COST_STRENGTH)
        for domain in sorted(set(train.domains))
    }


def _costs(costs: Mapping[str, Matrix], test: Table) -> Matrix:
    overall = np.mean(list(costs.values()), axis=0)
    return np.array([costs.get(domain, overall) for domain in test.domains])
