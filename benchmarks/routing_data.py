"""Public outcomes of real models, as tables: a row for each prompt, a column for each model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from ymera.nodes.learned import Outcomes

Matrix = NDArray[np.float64]
Rows = NDArray[np.int64]

PAIR = ("gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1")
"""RouteLLM's strong and weak model."""
POOL = (
    "gemini-1.5-pro-002",
    "gemini-1.5-flash-002",
    "gpt-4o-2024-05-13",
    "Meta-Llama-3.1-70B-Instruct",
    "Meta-Llama-3.1-8B-Instruct",
    "Mixtral-8x7B-Instruct-v0.1",
    "mathstral-7B",
    "c4ai-command-r-v01",
    "jamba-1.5-large",
    "deepseek-chat-v2",
    "DeepSeek-Coder-V2",
    "Phi-3-mini-4k-instruct",
    "Qwen1.5-72B-Chat",
    "Mistral-7B-Instruct-v0.2",
)
"""The models of MMLU-Pro that are near those of YMERA's providers."""
COMPLETE = 0.95
"""A model counts that has outcomes for this share of every data set's prompts."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Outcomes: `scores` (0 or 1), `costs` (USD) and `tokens` (of output, where they are known) of every prompt with
    every model, none missing."""

    texts: Sequence[str]
    domains: Sequence[str]
    models: Sequence[str]
    scores: Matrix
    costs: Matrix
    tokens: Matrix

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Rows) -> Table:
        """Return these rows."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            domains=[self.domains[row] for row in rows],
            scores=self.scores[rows],
            costs=self.costs[rows],
            tokens=self.tokens[rows],
        )

    def of_models(self, models: Sequence[str]) -> Table:
        """Return these models' columns."""
        columns = [list(self.models).index(model) for model in models]
        return replace(
            self,
            models=models,
            scores=self.scores[:, columns],
            costs=self.costs[:, columns],
            tokens=self.tokens[:, columns],
        )


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What is learned from, and what it is tried on."""

    train: Table
    test: Table


def load_pair(folder: Path, name: str) -> Table:
    """Return the outcomes of RouteLLM's two models on `gsm8k` or `mmlu`, without contaminated prompts."""
    rows = parquet.read_table(folder / f"routellm_{name}.parquet").to_pylist()
    rows = [row for row in rows if not row["contaminated"]]
    scores = np.array([[float(row[model]) for model in PAIR] for row in rows])
    # Calls of the strong model are what RouteLLM counts.
    costs = np.tile([1.0, 0.0], (len(rows), 1))
    return Table(
        texts=[row["prompt"] for row in rows],
        domains=[row["domain"] for row in rows],
        models=PAIR,
        scores=scores,
        costs=costs,
        tokens=np.full_like(costs, np.nan),
    )


def load_many(folder: Path, name: str, models: Sequence[str] | None = None) -> Table:
    """Return the outcomes of many models on `mmlu_pro` or `zeroeval`: the prompts that all of them answered.

    Args:
        models: by default those with outcomes for nearly all prompts of every data set.
    """
    prompts = parquet.read_table(folder / f"{name}_prompts.parquet").to_pylist()
    columns = ["prompt_id", "model", "score", "cost_usd", "tokens_out"]
    found = parquet.read_table(folder / f"{name}_outcomes.parquet", columns=columns).to_pydict()
    row = {prompt["prompt_id"]: number for number, prompt in enumerate(prompts)}
    names = sorted(set(found["model"]))
    column = {model: number for number, model in enumerate(names)}
    scores = np.full((len(prompts), len(names)), np.nan)
    costs, tokens = scores.copy(), scores.copy()
    at = (
        np.array([row[prompt] for prompt in found["prompt_id"]]),
        np.array([column[model] for model in found["model"]]),
    )
    scores[at], costs[at], tokens[at] = found["score"], found["cost_usd"], found["tokens_out"]
    table = Table(
        texts=[prompt["prompt"] for prompt in prompts],
        domains=[prompt.get("category") or prompt["dataset"] for prompt in prompts],
        models=names,
        scores=scores,
        costs=costs,
        tokens=tokens,
    )
    table = table.of_models(models or _complete(table, [prompt["dataset"] for prompt in prompts]))
    return table.take(np.flatnonzero(~np.isnan(table.scores).any(axis=1)))


def _complete(table: Table, sets: Sequence[str]) -> list[str]:
    every = np.array(sets)
    shares = np.array([(~np.isnan(table.scores[every == name])).mean(axis=0) for name in sorted(set(sets))])
    return [model for model, share in zip(table.models, shares.min(axis=0), strict=True) if share >= COMPLETE]


def outcomes_of(table: Table) -> Outcomes:
    """Return a table as YMERA learns from it."""
    return Outcomes(texts=table.texts, domains=table.domains, models=table.models, qualities=table.scores)


def key_of(text: str) -> str:
    """Return what two prompts have in common that differ in signs and case alone."""
    return " ".join(_WORD.findall(text.lower()))


def split(table: Table, folds: int, seed: int) -> list[Fold]:
    """Return folds by prompt: equal prompts stand in the same one."""
    keys = [key_of(text) for text in table.texts]
    every = sorted(set(keys))
    order = np.random.default_rng(seed).permutation(len(every)) % folds
    fold_of = dict(zip(every, order, strict=True))
    own = np.array([fold_of[key] for key in keys])
    return [
        Fold(train=table.take(np.flatnonzero(own != fold)), test=table.take(np.flatnonzero(own == fold)))
        for fold in range(folds)
    ]


def without(table: Table, texts: Iterable[str]) -> Table:
    """Return the rows whose prompts are none of these."""
    seen = {key_of(text) for text in texts}
    return table.take(np.array([row for row, text in enumerate(table.texts) if key_of(text) not in seen]))


def judgements(folder: Path, name: str) -> dict[str, float]:
    """Return how far each model's accuracy lies over or under the mean, over the data sets it was tried on."""
    columns = ["dataset", "model", "score"]
    found = parquet.read_table(folder / f"{name}_outcomes.parquet", columns=columns).to_pydict()
    sums: dict[str, dict[str, list[float]]] = {}
    for dataset, model, score in zip(*(found[column] for column in columns), strict=True):
        sums.setdefault(dataset, {}).setdefault(model, []).append(score)
    means = {
        dataset: {model: float(np.mean(own)) for model, own in each.items()} for dataset, each in sums.items()
    }
    everywhere = set.intersection(*(set(each) for each in means.values()))
    level = {
        dataset: np.mean([each[model] for model in sorted(everywhere)]) for dataset, each in means.items()
    }
    models = sorted(set(found["model"]))
    return {
        model: float(
            np.mean([each[model] - level[dataset] for dataset, each in means.items() if model in each])
        )
        for model in models
    }


def namesake(model: str, names: Iterable[str]) -> str | None:
    """Return the name that shares most words with a model's, or None where it shares less than half."""
    own = _parts(model)
    alike = {name: len(own & _parts(name)) / len(own | _parts(name)) for name in sorted(names)}
    best = max(alike, key=alike.__getitem__, default="")
    return best if best and alike[best] >= 0.5 else None


def _parts(name: str) -> set[str]:
    return set(re.split(r"[-_@]", name.lower()))
