"""The domain of a task, read in its text: learned from the texts of past tasks, in a thread, while runs go on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

from ..routing.catalogue import Catalogue
from ..routing.domains import Lessons, PastTask, agent_of, is_readable, lessons, taken_for
from ..routing.limits import check_parameters, check_task
from ..routing.matcher import TaskRequest
from ..routing.records import InDomain
from .calls import open_calls
from .database import Database, DatabaseError
from .encryption import Cipher, cipher_of
from .settings import Settings

if TYPE_CHECKING:
    from .classifier import Classifier

LOOK_SECONDS = 1.0
"""At most so often is looked whether there are new texts."""
GROWN = 0.2
"""Calls that came since, as a share of those learned from, that make it worth learning anew."""
MOST_CALLS = 20_000
"""The latest calls whose tasks are looked at."""
MOST_TASKS = 3_000
"""The latest tasks that are learned from: about a second of a processor (docs/learning.md, Speed)."""
READ_CHARACTERS = 4_000
"""Characters of a text that are read: what a task is about is said there."""

_NEW = "SELECT COUNT(*), MAX(started_at) FROM calls WHERE tenant = ? AND task <> '' AND started_at > ?"
_TOLD = """
SELECT agent, domain, task FROM calls
WHERE tenant = ? AND task <> ''
    AND NOT EXISTS (SELECT 1 FROM domains_read r WHERE r.tenant = calls.tenant AND r.run = calls.run)
ORDER BY started_at DESC LIMIT ?
"""
"""A domain that was read teaches nothing: what was read wrong once would be read wrong ever more surely."""

_logger = logging.getLogger("ymera.domains")


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What was learned, and from what."""

    lessons: Lessons
    classifier: Classifier

    def read(self, texts: Sequence[str], among: Collection[str], agent: str) -> list[InDomain | None]:
        """Return the domain that each text of an agent is taken to be of, of those that are open to it."""
        shares = self.classifier.read([text[:READ_CHARACTERS] for text in texts])
        return [taken_for(each, among, agent) for each in shares]


def learned(tasks: Iterable[PastTask]) -> Learned | None:
    """Return what is learned from past tasks, the latest first; None where words tell nothing of domains.

    Raises:
        ImportError: the extra `learn` is not installed.
    """
    known = dict.fromkeys(task._replace(text=task.text[:READ_CHARACTERS]) for task in tasks)
    found = lessons(islice(known, MOST_TASKS))
    if found is None:
        return None
    from .classifier import Classifier  # loads scikit-learn, which costs a second

    try:
        classifier = Classifier(found.texts, found.domains)
    except ValueError:  # there is no word in the texts
        return None
    return Learned(lessons=found, classifier=classifier) if classifier.tells else None


class Domains:
    """Domains of tasks whose callers name none. Any thread and event loop of the process may use it.

    Nothing waits for what is learned: until it is there, a task is taken to be of its agent's domain. Nothing is
    learned without texts (YMERA_OUTCOME_TEXTS) or without the extra `learn`. Of a text nothing but the weights of its
    words is kept, in memory, until it is learned anew; no word of it reaches a log.

    Args:
        clock: epoch seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        learns = settings.ymera_outcome_texts and settings.ymera_outcome_days > 0
        self._database: Database | None = open_calls(settings) if learns else None
        self._tenant, self._clock = settings.ymera_tenant or "", clock
        self._cipher: Cipher | None = cipher_of(settings.langgraph_aes_key)
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None
        self._looked_at = -inf
        self._seen: object | None = None
        self._newest, self._calls = -inf, 0
        self._learned: Learned | None = None

    def look(self) -> None:
        """Begin to learn what there is to learn, in a thread."""
        if self._database is None or (self._under_way and not self._under_way.done()):
            return
        if 0 <= self._clock() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = self._clock()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ymera-domains")
        self._under_way = self._thread.submit(self._learn, self._database)

    async def ready(self) -> None:
        """Wait until what there is to learn is learned: for commands, whose plans may take a second."""
        self.look()
        if self._under_way is not None:
            await asyncio.wrap_future(self._under_way)

    async def read(self, request: TaskRequest, catalogue: Catalogue) -> TaskRequest:
        """Return a request with the domain that is read in its text, where that says more than the agent's name.

        Raises:
            InputError: the task or its parameters are none.
        """
        known = self._learned
        if known is None or request.domain is not None:
            return request
        check_task(request.description)
        check_parameters(request.parameters)
        among, agent = known.lessons.open_to(request, catalogue), agent_of(request, catalogue)
        if not is_readable(among, agent):
            return request
        (domain,) = await asyncio.to_thread(known.read, [request.description], among, agent)
        return replace(request, domain=domain)

    def _learn(self, database: Database) -> None:
        try:
            if (stamp := database.stamp()) is None or stamp == self._seen:
                return
            if self._has_grown(database):
                self._learned = learned(self._past(database))
            self._seen = stamp
        except DatabaseError as error:
            self._stop("%s cannot be used: %s. %s if it stays so", database.place, error, database.cure)
        except ImportError as error:
            self._stop("%s. Install the extra: pip install 'ymera[learn]'", error)

    def _has_grown(self, database: Database) -> bool:
        with database.reading() as rows:
            ((new, _),) = rows.execute(_NEW, (self._tenant, self._newest))
        return bool(new > self._calls * GROWN)

    def _past(self, database: Database) -> list[PastTask]:
        """Return the tasks of the latest calls whose domains are known."""
        with database.reading() as rows:
            found = [row for row in rows.execute(_TOLD, (self._tenant, MOST_CALLS)) if _is_sound(row)]
            ((self._calls, newest),) = rows.execute(_NEW, (self._tenant, -inf))
        self._newest = -inf if newest is None else newest
        return list(self._opened(found))

    def _opened(self, rows: Iterable[tuple[Any, ...]]) -> Iterable[PastTask]:
        for agent, domain, stored in rows:
            try:
                text = self._cipher.open(stored) if self._cipher else stored
            except ValueError:  # of another key
                continue
            yield PastTask(agent, domain, text)

    def _stop(self, why: str, *said: object) -> None:
        _logger.info(f"No domain is read in texts: {why}.", *said)
        self._database = None


def _is_sound(row: tuple[Any, ...]) -> bool:
    """Say whether a row is one of ours: SQLite keeps anything in any column."""
    return all(isinstance(word, str) for word in row)
