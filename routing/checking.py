"""How data files are checked: entry by entry, then together, and all faults at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .catalogue import DEFAULT_AGENT, Catalogue, assembled
from .entries import KINDS, Document, Kind, Record, Table, kind_of, merged, name_of, record_of, table_of
from .errors import CatalogueError
from .records import ModelProfile
from .references import reference_faults
from .schemas import faults_of

_STAND_INS: dict[Kind, Table] = {
    "providers": {"title": "-", "chat_model": "-", "package": "-"},
    "models": {"provider": "local", "scores": {}, "context_tokens": 10**9},
    "agents": {"task_type": "-", "phases_needed": ["generation"]},
    "phases": {"order": 10**9, "skills": {}, "prompt": "-"},
}
"""What takes the place of a faulty or missing key, so that the rest of its entry can be checked as well."""


def load_checked(documents: Iterable[Document], base: Catalogue | None = None) -> Catalogue:
    """Check documents against the schemas and one another, and lay them over `base`.

    Without a base the documents must hold the agent `default`.

    Raises:
        CatalogueError: every fault of every document.
    """
    check = _Check(base)
    for document in documents:
        check.read(document)
    catalogue = assembled(base, check.records)
    for kind, name, key, what in reference_faults(catalogue):
        check.faults.append(f"{check.files.get((kind, name), check.last_file)}: {kind}.{name}.{key}: {what}")
    if check.faults:
        raise CatalogueError(check.faults)
    return catalogue


class _Check:
    """What has been read so far: records, faults, and the file of each record."""

    def __init__(self, base: Catalogue | None) -> None:
        self.base = base
        self.records: list[Record] = []
        self.faults: list[str] = []
        self.files: dict[tuple[Kind, str], str] = {}
        self.last_file = ""

    def read(self, document: Document) -> None:
        """Read a document's entries."""
        self.last_file = document.file
        for key, value in document.tables.items():
            if key not in KINDS:
                self.faults.append(
                    f"{document.file}: {key}: is no key of this file, allowed: {', '.join(KINDS)}"
                )
            elif not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
                self.faults.append(f"{document.file}: {key}: must be a list of tables, written [[{key}]]")
        for kind in KINDS:
            for number, given in enumerate(document.listed(kind), 1):
                self._entry(document.file, kind, number, given)

    def _entry(self, file: str, kind: Kind, number: int, given: Table) -> None:
        key = "agent_name" if kind == "agents" else "name"
        name = given.get(key)
        if not isinstance(name, str):
            name = str(number)
        known = self._known(kind, name, given.get("provider"))
        if len(known) > 1:
            self.faults.append(f"{file}: {kind}.{name}.{_ambiguous(known)}")
            return
        base = table_of(known[0]) if known else {}
        table = merged(base, given)
        faults = faults_of(kind, table)
        self.faults += [f"{file}: {kind}.{name}{where and '.' + where}: {what}" for where, what in faults]
        if faults:
            good = {k: v for k, v in table.items() if not any(f"{f}.".startswith(f"{k}.") for f, _ in faults)}
            table = {key: name, **_STAND_INS[kind], **base, **good}
        self._keep(file, record_of(kind, table))

    def _keep(self, file: str, record: Record) -> None:
        place = (kind_of(record), name_of(record))
        if place in self.files:
            self.faults.append(f"{file}: {place[0]}.{place[1]}: is given twice")
        self.files[place] = file
        self.records.append(record)

    def _known(self, kind: Kind, name: str, provider: object) -> list[Record]:
        """Return the records that an entry may mean: none, one, or a model at several providers."""
        if self.base is None:
            return []
        if kind == "models":
            models = self.base.models.values()
            return [m for m in models if m.name == name and (provider is None or m.provider == provider)]
        agents = {**self.base.agents, DEFAULT_AGENT: self.base.default_agent}
        by_kind: dict[str, Mapping[str, Record]] = {
            "providers": self.base.providers,
            "agents": agents,
            "phases": self.base.phases,
        }
        record = by_kind[kind].get(name)
        return [record] if record is not None else []


def _ambiguous(models: Iterable[Record]) -> str:
    at = ", ".join(sorted(model.provider for model in models if isinstance(model, ModelProfile)))
    return f"provider: is missing, and several have a model of this name, allowed: {at}"
