"""The command line. Whatever is slow to import is imported inside the command that needs it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .cli_models import models_app
from .exits import AS_JSON, FAILED, NO_MODEL, SUCCESS, Commands
from .inputs import check_output, check_providers, read_names, read_parameters, read_task, settings_with
from .options import (
    Agent,
    AsJson,
    Attempts,
    BudgetSeconds,
    BudgetTokens,
    BudgetUsd,
    CatalogueFile,
    Model,
    NoCache,
    Output,
    ...
)
