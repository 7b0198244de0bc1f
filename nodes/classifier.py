"""Which domain a text is of, learned from texts whose domain is known: needs the extra `learn` (numpy, scikit-learn).

A ridge over words and pairs of words says how much a text is like those of each domain. How sure to be of that is read
from a quarter of the texts, which it has not seen meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

Matrix = NDArray[np.float64]

SHARPNESSES = (4.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0)
"""Of these that one is taken under which the probabilities of the texts left out are the likeliest."""


class Classifier:
    """What was learned of domains from texts.

    Args:
        domains: of each text.

    Raises:
        ValueError: there is no word in the texts.
    """

    def __init__(self, texts: Sequence[str], domains: Sequence[str], *, seed: int = 0) -> None:
        self.domains = sorted(set(domains))
        row = {domain: number for number, domain in enumerate(self.domains)}
        own = np.array([row[domain] for domain in domains])
        self._vectorizer = _vectorizer(len(texts))
        self._fit(self._vectorizer.fit_transform(texts).astype(np.float32), own, seed)

    def words(self, texts: Sequence[str]) -> Any:
        """Return the words of texts as a sparse matrix."""
        return self._vectorizer.transform(texts).astype(np.float32)

    def shares(self, words: Any) -> Matrix:
        """Return how probable each domain is: a row for each text, of whose words it is told."""
        said = columns(self._ridge.predict(words))
        return np.asarray(softmax(self._sharpness * said, axis=1), dtype=np.float64)

    def read(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        """Return how probable each domain is for each text."""
        shares = self.shares(self.words(texts))
        return [dict(zip(self.domains, map(float, row), strict=True)) for row in shares]

    def _fit(self, words: Any, own: NDArray[np.int64], seed: int) -> None:
        """Learn to tell the domains, how sure to be of it, and whether words tell anything."""
        member = np.eye(len(self.domains))[own]
        part = np.random.default_rng(seed).permutation(len(own)) % 4 == 0
        self._sharpness, self.tells = SHARPNESSES[0], False
        if len(self.domains) > 1 and part.any() and not part.all():
            said = columns(ridge(1.0).fit(words[~part], member[~part]).predict(words[part]))
            surprises = {sharp: _surprise(softmax(sharp * said, axis=1), own[part]) for sharp in SHARPNESSES}
            self._sharpness = min(surprises, key=surprises.__getitem__)
            usual = np.tile(member[~part].mean(axis=0), (int(part.sum()), 1))
            self.tells = surprises[self._sharpness] < _surprise(usual, own[part])
        self._ridge = ridge(1.0).fit(words, member)


def ridge(alpha: float) -> Ridge:
    """Return a ridge that is fit for sparse words."""
    return Ridge(alpha=alpha, solver="sparse_cg", tol=1e-2)


def columns(values: Any) -> Matrix:
    """Return predictions as a matrix, where there is one column only, too."""
    array = np.asarray(values, dtype=np.float64)
    return array if array.ndim == 2 else array[:, None]


def _vectorizer(texts: int) -> TfidfVectorizer:
    return TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=2 if texts > 200 else 1, token_pattern=r"(?u)\b\w+\b"
    )


def _surprise(shares: Matrix, own: NDArray[np.int64]) -> float:
    return float(-np.log(shares[np.arange(len(own)), own] + 1e-9).mean())
