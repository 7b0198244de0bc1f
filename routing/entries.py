"""How an entry of a data file becomes a record, and back.

A document is one TOML file. Whatever its form, its entries come out as lists by kind: `providers`, `models`,
`agents`, `phases`. Nothing is checked here (see schemas.py and references.py): the package's own files are
checked by the tests, a user's file when it is read.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from .errors import CatalogueError
from .records import AgentTaskProfile, ModelProfile, PhaseProfile, Price, ProviderProfile

Kind = Literal["providers", "models", "agents", "phases"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Record = ProviderProfile | ModelProfile | AgentTaskProfile | PhaseProfile
Table = dict[str, Any]  # TOML gives no better type

DATA = Path(__file__).parent / "data"
DEFAULT_MAX_OUTPUT_TOKENS = 4096


class Document(NamedTuple):
    """A data file: its name for messages, and its entries by kind (other keys as they stand)."""

    file: str
    tables: Table

    def listed(self, kind: Kind) -> list[Table]:
        """Return the entries of a kind, without what is no table."""
        listed = self.tables.get(kind)
        return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def parse(file: str, text: str) -> Document:
    """Read TOML.

    Raises:
        CatalogueError: the text is not TOML; the message holds the line.
    """
    try:
        return Document(file, tomllib.loads(text))
    except RecursionError:
        raise CatalogueError(
            [f"{file}: not valid TOML: lists or tables stand too deep in one another"]
        ) from None
    except ValueError as error:  # of TOML, and of Python's own where a number has too many digits
        raise CatalogueError([f"{file}: not valid TOML: {error}"]) from None


def builtin_documents() -> Iterator[Document]:
    """Read the package's own providers with their models, agents and phases."""
    for path in sorted(DATA.glob("models/*.toml")):
        tables = _read(path).tables
        provider = tables.pop("provider")
        models = [{"provider": provider["name"], **model} for model in tables.pop("models", [])]
        yield Document(f"models/{path.name}", {"providers": [provider], "models": models, **tables})
    for kind in ("agents", "phases"):
        for path in sorted(DATA.glob(f"{kind}/*.toml")):
            yield Document(f"{kind}/{path.name}", {kind: [_read(path).tables]})


def _read(path: Path) -> Document:
    return parse(str(path), path.read_text(encoding="utf-8"))


def record_of(kind: Kind, table: Table) -> Record:
    """Make the record of a correct entry."""
    values: Table = {key: _frozen(value) for key, value in table.items()}
    match kind:
        case "providers":
            return ProviderProfile(**values)
        case "models":
            return _model(values)
        case "agents":
            return AgentTaskProfile(**{"preferred_models": (), **values})
        case "phases":
            return PhaseProfile(**values)


def _model(values: Table) -> ModelProfile:
    price = values.pop("usd_per_mtok", None)
    if price is not None:
        values["price"] = Price(input=float(price["input"]), output=float(price["output"]))
        values["scores"].setdefault("cost", cost_score(values["price"]))
    values.setdefault("model_id", values["name"])
    values.setdefault("max_output_tokens", min(DEFAULT_MAX_OUTPUT_TOKENS, values["context_tokens"]))
    return ModelProfile(**values)


def _frozen(value: object) -> object:
    """Return lists as tuples and tables as dicts of their own, whole numbers in them as floats."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: float(item) if isinstance(item, int) else item for key, item in value.items()}
    return value


def cost_score(price: Price) -> float:
    """Return the skill `cost`, 0..10, of a price: 10 is free, and each doubling takes one point.

    The price is three parts input and one part output; 1 USD per million tokens scores 5. Rounded to a tenth.
    """
    blended = (3 * price.input + price.output) / 4
    return 10.0 if blended == 0 else round(min(10.0, max(0.0, 5 - math.log2(blended))), 1)


def table_of(record: Record) -> Table:
    """Return the entry that makes the record, without what it leaves open or what follows from the rest."""
    table: Table = {field.name: _thawed(getattr(record, field.name)) for field in fields(record)}
    if isinstance(record, ModelProfile):
        del table["price"]
        if record.price is not None:
            table["usd_per_mtok"] = {"input": record.price.input, "output": record.price.output}
            if record.scores.get("cost") == cost_score(record.price):
                del table["scores"]["cost"]
    return {key: value for key, value in table.items() if value is not None}


def _thawed(value: object) -> object:
    if isinstance(value, tuple | list):
        return [_thawed(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def merged(base: Table, given: Table) -> Table:
    """Return `base` with what is given laid over it: tables are merged key by key, all else is replaced."""
    both = dict(base)
    for key, value in given.items():
        old = base.get(key)
        both[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return both


def name_of(record: Record) -> str:
    """Return the word by which a record is known among its kind."""
    match record:
        case ModelProfile():
            return record.key
        case AgentTaskProfile():
            return record.agent_name
        case ProviderProfile() | PhaseProfile():
            return record.name


def kind_of(record: Record) -> Kind:
    """Return the kind of a record."""
    match record:
        case ProviderProfile():
            return "providers"
        case ModelProfile():
            return "models"
        case AgentTaskProfile():
            return "agents"
        case PhaseProfile():
            return "phases"
