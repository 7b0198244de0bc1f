"""YMERA's router beside others, on outcomes of real models.

    pip install -e .[learn]
    python -m benchmarks.routing --json FILE [--train FOLDER] [--test FOLDER] [--docs docs/learning.md]

Without --test: five folds by prompt over the training folder. With it: learned from the one, tried on the other
(files of the same names), without prompts that stand in both. Seeded; ten minutes on two cores, in one process.
`--from FILE` reads the figures of an earlier run instead, to write its tables into the documents.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from .pages import write_into
from .routing_calibration import calibration, coverage
from .routing_data import POOL, Fold, Table, judgements, load_many, load_pair, split, without
from .routing_domains import domain_reading
from .routing_metrics import (
    WEIGHTS,
    Swept,
    front,
    many_intervals,
    pair_intervals,
    parity_weight,
    sweep,
)
from .routing_routers import Domain, Length, Linear, Neighbours, Oracle, Ours, Random, Router, baselines, ours
from .routing_speed import speed
from .routing_streams import cold_start, drift, escalation, even, many_cold_starts, online, prior_of
from .routing_tables import tables

DATA = Path(__file__).parents[2] / "shared" / "data"
FOLDS = 5
PAIRS = ("gsm8k", "mmlu")


def evaluate_pair(folds: Sequence[Fold], routers: Sequence[Router], seed: int) -> dict[str, Any]:
    """Return RouteLLM's figures of every router, over all folds' tests together."""
    tested = _joined([fold.test for fold in folds])
    found = {}
    for router in routers:
        gains = []
        for fold in folds:
            router.fit(fold.train)
            quality = router.predict(fold.test).quality
            gains.append(quality[:, 0] - quality[:, 1])
        found[router.name] = pair_intervals(np.concatenate(gains), tested, seed)
        _say(f"{router.name}: APGR {found[router.name]['apgr'].value:.3f}")
    return {"prompts": len(tested), "routers": found}


def evaluate_many(folds: Sequence[Fold], routers: Sequence[Router], seed: int) -> dict[str, Any]:
    """Return the figures of every router over many models, over all folds' tests together."""
    tested = _joined([fold.test for fold in folds])
    oracle = sweep(tested.scores, tested.costs, tested)
    found = {}
    fronts = {
        "single models": front(Swept(tested.scores, tested.costs), tested),
        "oracle": front(oracle, tested),
    }
    for router in routers:
        sweeps, weights = [], []
        for fold in folds:
            weights.append(np.full(len(fold.test), chosen_weight(router, fold.train, seed)))
            router.fit(fold.train)
            sweeps.append(sweep(*router.predict(fold.test), fold.test))
        swept = Swept(*(np.concatenate(parts) for parts in zip(*sweeps, strict=True)))
        fronts[router.name] = front(swept, tested)
        found[router.name] = many_intervals(swept, oracle, tested, np.concatenate(weights), seed)
        gain, aiq = found[router.name]["gain"], found[router.name]["aiq"]
        _say(f"{router.name}: gain {gain.value:+.2f}, AIQ {aiq.value:.1f} %")
    singles = {
        model: [float(tested.scores[:, column].mean()), float(tested.costs[:, column].mean())]
        for column, model in enumerate(tested.models)
    }
    return {"prompts": len(tested), "singles": singles, "routers": found, "fronts": fronts}


def chosen_weight(router: Router, train: Table, seed: int) -> int:
    """Return the place of the cost weight that keeps the best single model's accuracy on a fifth left out."""
    inner = split(train, FOLDS, seed + 1)[0]
    router.fit(inner.train)
    return parity_weight(sweep(*router.predict(inner.test), inner.test), inner.test)


def _joined(tables: Sequence[Table]) -> Table:
    return Table(
        texts=[text for table in tables for text in table.texts],
        domains=[domain for table in tables for domain in table.domains],
        models=tables[0].models,
        scores=np.concatenate([table.scores for table in tables]),
        costs=np.concatenate([table.costs for table in tables]),
        tokens=np.concatenate([table.tokens for table in tables]),
    )


# --- the sections ------------------------------------------------------------------------------------------


class Run:
    """One run of the benchmark: where the data lie, and the seed."""

    def __init__(self, train: Path, test: Path | None, seed: int) -> None:
        self.train, self.test, self.seed = train, test, seed

    def folds(self, load: Callable[[Path], Table], again: Callable[[Path, Table], Table]) -> list[Fold]:
        """Return five folds, or the one of the two folders."""
        train = load(self.train)
        if self.test is None:
            return split(train, FOLDS, self.seed)
        return [Fold(train=train, test=without(again(self.test, train), train.texts))]

    def pair(self, name: str) -> list[Fold]:
        """Return the folds of RouteLLM's pair on a data set."""
        return self.folds(
            lambda folder: load_pair(folder, name), lambda folder, train: load_pair(folder, name)
        )

    def many(self, name: str, models: Sequence[str] | None = None) -> list[Fold]:
        """Return the folds of many models on a data set."""
        return self.folds(
            lambda folder: load_many(folder, name, models),
            lambda folder, train: load_many(folder, name, train.models),
        )

    def in_domain(self) -> dict[str, Any]:
        """Try routers on the pair, each data set by itself."""
        found = {}
        for name in PAIRS:
            _say(f"RouteLLM's pair, {name}, in-domain")
            routers: list[Router] = [Random(self.seed), Length(), Neighbours(), Linear(), Oracle(), Domain()]
            routers.append(Ours(reads_domain=False, seed=self.seed))
            found[name] = evaluate_pair(self.pair(name), routers, self.seed)
        return found

    def out_of_domain(self) -> dict[str, Any]:
        """Try routers on the pair, learned from the other data set."""
        found = {}
        for name, other in zip(PAIRS, reversed(PAIRS), strict=True):
            _say(f"RouteLLM's pair, {name}, learned from {other}")
            train = load_pair(self.train, other)
            test = without(load_pair(self.test or self.train, name), train.texts)
            routers: list[Router] = [Random(self.seed), Length(), Neighbours(), Linear(), Oracle()]
            routers.append(Ours(reads_domain=False, seed=self.seed))
            found[name] = evaluate_pair([Fold(train=train, test=test)], routers, self.seed)
        return found

    def mmlu_pro(self) -> dict[str, Any]:
        """Try routers on MMLU-Pro."""
        _say("MMLU-Pro")
        return evaluate_many(
            self.many("mmlu_pro", POOL), [*baselines(self.seed), *ours(self.seed)], self.seed
        )

    def zeroeval(self) -> dict[str, Any]:
        """Try routers on ZeroEval."""
        _say("ZeroEval")
        return evaluate_many(self.many("zeroeval"), [*baselines(self.seed), *ours(self.seed)], self.seed)

    def domains(self) -> list[dict[str, Any]]:
        """Try what reading the domain brings on MMLU-Pro, after few texts and after many."""
        _say("domains read")
        train = load_many(self.train, "mmlu_pro", POOL)
        test = None if self.test is None else without(load_many(self.test, "mmlu_pro", POOL), train.texts)
        return [asdict(each) for each in domain_reading(train, test, self.seed)]

    def streams(self) -> dict[str, Any]:
        """Try what history brings on MMLU-Pro, without a prior and with one from ZeroEval."""
        train = load_many(self.train, "mmlu_pro", POOL)
        test = None if self.test is None else without(load_many(self.test, "mmlu_pro", POOL), train.texts)
        found: dict[str, Any] = {}
        for name, prior in {
            "no prior": even,
            "prior from ZeroEval": prior_of(POOL, judgements(self.train, "zeroeval")),
        }.items():
            _say(f"cold start, own choices, drift: {name}")
            found[name] = {
                "cold": [asdict(each) for each in cold_start(train, test, prior, self.seed)],
                "online": [asdict(each) for each in online(train, test, prior, self.seed)],
                "drift": drift(train, prior, self.seed),
            }
        return found

    def cold_starts(self) -> dict[str, Any]:
        """Try what few outcomes bring on MMLU-Pro, in many draws."""
        _say("cold start, many draws")
        train = load_many(self.train, "mmlu_pro", POOL)
        test = None if self.test is None else without(load_many(self.test, "mmlu_pro", POOL), train.texts)
        prior = prior_of(POOL, judgements(self.train, "zeroeval"))
        found = many_cold_starts(train, test, prior, self.seed)
        return {name: [asdict(each) for each in own] for name, own in found.items()}

    def calibration(self) -> dict[str, Any]:
        """Try whether predictions on MMLU-Pro mean what they say."""
        _say("calibration")
        routers: list[Router] = [Domain(), Ours(reads_domain=False, seed=self.seed)]
        return {
            "errors": calibration(self.many("mmlu_pro", POOL), routers),
            "held": coverage(load_many(self.train, "mmlu_pro", POOL), even, self.seed),
        }

    def escalation(self) -> list[dict[str, Any]]:
        """Try what a check of the answers brings on MMLU-Pro, on the first fold's test."""
        fold = self.many("mmlu_pro", POOL)[0]
        weight = float(WEIGHTS[chosen_weight(Domain(), fold.train, self.seed)])
        return [asdict(each) for each in escalation(fold.train, fold.test, weight, even, self.seed)]

    def speed(self) -> dict[str, Any]:
        """Measure how long reading, estimating and planning take."""
        return speed(load_many(self.train, "mmlu_pro", POOL), self.seed)


SECTIONS = (
    "in_domain",
    "out_of_domain",
    "mmlu_pro",
    "zeroeval",
    "domains",
    "streams",
    "cold_starts",
    "calibration",
    "escalation",
    "speed",
)


def _say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def main(words: Sequence[str] | None = None) -> None:
    """Evaluate, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description="YMERA's router beside others, on outcomes of real models.")
    parser.add_argument("--train", type=Path, default=DATA, help="folder of what is learned from")
    parser.add_argument("--test", type=Path, help="folder of what it is tried on; default: five folds")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--from", dest="earlier", type=Path, help="figures of an earlier run, to begin with")
    parser.add_argument("--docs", type=Path, help="page whose tables are written anew")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="with commas between; empty: none")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    figures = json.loads(arguments.earlier.read_text()) if arguments.earlier else {}
    run = Run(arguments.train, arguments.test, arguments.seed)
    for name in filter(None, arguments.sections.split(",")):
        figures[name] = getattr(run, name)()
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    text = tables(figures)
    print(text)
    if arguments.docs:
        write_into(arguments.docs, text)


if __name__ == "__main__":
    main()
