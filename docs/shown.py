"""What the README shows of its commands: run on the embedded models, and kept beside this file.

    python -m docs.shown

runs them anew (some minutes).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ymera.nodes.settings import Settings
from ymera.routing.catalogue import builtin_catalogue

from .blocks import blocks_of

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BIN = ".venv/bin/"
JOB = re.compile(r"^\[\d+\].*\n|^\S+: line \d+: .*Killed.*\n", re.MULTILINE)
"""What a shell says of its jobs."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A shell block of the README, and the file that keeps what it prints.

    Args:
        begins: with which words of `ymera` the part begins that is run; what stands before makes the environment.
    """

    file: Path
    block: int
    begins: str = f"{BIN}ymera run"

    def kept(self) -> str:
        """Return what is kept."""
        return self.file.read_text(encoding="utf-8")

    def script(self) -> str:
        """Return what is run."""
        text = [block.text for block in blocks_of(README) if block.language == "bash"][self.block]
        return text[text.index(self.begins) :].replace(BIN, f"{Path(sys.executable).parent}/")

    def run(self) -> str:
        """Run it in an empty folder, without keys and settings, and return what it prints."""
        keys = {name for provider in builtin_catalogue().providers.values() for name in provider.variables}
        own = {name.upper() for name in Settings.model_fields if name != "ymera_cache_dir"}
        kept = {name: value for name, value in os.environ.items() if name not in keys | own}
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["bash", "-c", self.script()],
                cwd=folder,
                env={**kept, "YMERA_DATA_DIR": folder, "LANGSMITH_TRACING": "false"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        printed = JOB.sub("", "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines()))
        if done.returncode:
            raise SystemExit(f"{self.begins} ended with {done.returncode}:\n{printed}")
        return printed


FIRST_RUN = Shown(file=ROOT / "docs" / "first_run.txt", block=0)
KILLED_RUN = Shown(file=ROOT / "docs" / "killed_run.txt", block=2)


if __name__ == "__main__":
    for shown in (FIRST_RUN, KILLED_RUN):
        shown.file.write_text(shown.run(), encoding="utf-8")
        sys.stdout.write(f"{shown.file} is written\n")
    sys.stdout.write("Now run: poe docs\n")
