"""What a run takes beside the barest chain, and how it grows, does not get worse by a factor unnoticed.

Counted are calls of functions, which are nearly the same in each run on any machine; the bounds are wide, and say
nothing of what is reached: `python -m benchmarks` does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.chain import chain_side
from benchmarks.counted import calls_of, steady_calls
from benchmarks.growth import own_phases_run, plan_side
from benchmarks.instant import PHASES, PIECES, TASK, InstantModel, instant_services, without_journal
from benchmarks.overhead import workflow_side
from benchmarks.turns import Side
from ymera.executor import MultiModelExecutor
from ymera.nodes.settings import Settings
from ymera.routing.attempts import RunView
from ymera.routing.dial import strategy_for
from ymera.routing.flow import outcome
from ymera.routing.matcher import TaskRequest, Wishes
from ymera.routing.records import Strategy
from ymera.routing.words import Lexicon, load_lexicon, phrase_of
from ymera.routing.world import World

# A profiler of another kind (coverage's, say) counts what it calls itself.
pytestmark = pytest.mark.skipif(sys.getprofile() is not None, reason="another profiler is at work")


async def counted(side: Side) -> int:
    return await steady_calls(lambda: side(0))


def run_of_six(settings: Settings, pieces: int) -> Side:
    services = instant_services(InstantModel(chunks=pieces), settings)
    return workflow_side(without_journal(services), None)


@pytest.mark.parametrize(
    ("pieces", "most"),
    [
        pytest.param(1, 3.5, id="nothing but overhead (2.6 when this was written)"),
        pytest.param(PIECES, 1.5, id="answers of a usual length (1.18 when this was written)"),
    ],
)
async def test_a_run_calls_not_many_times_as_much_as_the_barest_chain(
    settings: Settings, pieces: int, most: float
) -> None:
    chain = chain_side(InstantModel(chunks=pieces), None)
    assert await counted(run_of_six(settings, pieces)) / await counted(chain) < most


async def test_a_long_answer_adds_nothing_to_each_of_its_pieces(settings: Settings) -> None:
    """What is added to the chain is the same for an answer of one piece and for one of many."""
    added = [
        await counted(run_of_six(settings, pieces))
        - await counted(chain_side(InstantModel(chunks=pieces), None))
        for pieces in (1, PIECES)
    ]
    assert added[1] < 1.5 * added[0]


async def test_ten_times_the_phases_take_no_more_than_ten_times_the_calls(tmp_path: Path) -> None:
    few, many = [await counted(own_phases_run(tmp_path / str(size), size)) for size in (5, 50)]
    assert many < 12 * few


async def test_ten_times_the_models_take_no_more_than_ten_times_the_calls(settings: Settings) -> None:
    few, many = [await counted(plan_side(settings, size)) for size in (100, 1_000)]
    assert many < 10 * few


async def test_a_stored_result_is_planned_for_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = MultiModelExecutor(services=instant_services(InstantModel(chunks=1), settings))
    plans: list[str] = []

    def planned(request: TaskRequest, wishes: Wishes, world: World) -> Strategy:
        plans.append(request.description)
        return strategy_for(request, wishes, world)

    monkeypatch.setattr("ymera.nodes.matching.strategy_for", planned)
    for made, cached in ((2, False), (1, True)):  # by the catalogue, and for the run
        plans.clear()
        result = await executor.execute_with_multi_model("coding_agent", TASK, enable_phases=PHASES)
        assert (result.cached, len(plans)) == (cached, made)


async def test_the_words_of_all_languages_are_read_with_few_calls_a_phrase() -> None:
    """42 when this was written, 58 before each entry was spelled out once."""

    async def build() -> None:
        phrase_of.cache_clear()
        load_lexicon.cache_clear()
        lexicon.append(load_lexicon())

    lexicon: list[Lexicon] = []
    calls = await counted(lambda number: build())
    phrases = sum(len(options) for options in lexicon[0].phrases.values())
    assert calls < 50 * phrases


# --- the count itself -------------------------------------------------------------------------------------


async def test_the_count_is_twice_as_high_for_twice_the_work(settings: Settings) -> None:
    run = run_of_six(settings, 1)

    async def twice() -> None:
        await run(0)
        await run(0)

    assert await steady_calls(twice) == pytest.approx(2 * await counted(run), rel=0.05)


async def test_a_rule_that_is_evaluated_again_and_again_is_noticed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound can be passed: by a rule behind each phase that decides two hundred times."""

    def decide(run: RunView, phase: str) -> object:
        return [outcome(run, phase) for _ in range(200)][-1]

    monkeypatch.setattr("ymera.graphs.workflow.outcome", decide)
    chain = await counted(chain_side(InstantModel(chunks=1), None))
    assert await counted(run_of_six(settings, 1)) / chain > 3.5


async def test_work_that_does_nothing_is_the_call_of_itself_and_the_end_of_the_count() -> None:
    async def nothing() -> None:
        pass

    assert await calls_of(nothing) <= 3
    assert sys.getprofile() is None
