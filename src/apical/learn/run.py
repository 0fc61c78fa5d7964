"""A run: one folder that says what was done, with what, and how it went."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from apical.config.base import AnySettings
from apical.errors import CannotDo
from apical.files import write_atomically


class RunFolder:
    """Paths and small files of a run.

    ``settings.json`` and ``environment.json`` are written first, figures grow step by step
    (`apical.learn.tracking`), the weights come last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.encoder = path / "encoder.safetensors"
        self.classifier = path / "classifier.safetensors"
        self.predictions = path / "predictions.parquet"
        self.exam_predictions = path / "exam-predictions.parquet"

    def start(self, settings: dict[str, Any], *, resume: bool, free: Collection[str] = ()) -> None:
        """Claim the folder for a run that can be resumed, with the same settings but for the `free` ones.

        Raises:
            CannotDo: it holds another run, or, with `resume`, one with other settings or clips.
        """
        if not (self.path / "settings.json").exists():
            self._begin(settings)
        elif not resume:
            raise CannotDo(
                f"'{self.path.name}' already holds a run",
                "choose another --out, or go on with it by --resume",
            )
        else:
            before, now = self.settings(), json.loads(json.dumps(settings))
            differ = {name for name in {*before, *now} if before.get(name) != now.get(name)}
            if differ - {*free}:
                names = ", ".join(sorted(differ - {*free}))
                raise CannotDo(
                    f"'{self.path.name}' was started with other settings ({names})",
                    "resume with the same settings and clips, or choose another --out",
                )
            self.write_json("settings.json", settings)

    def start_over(self, settings: dict[str, Any]) -> None:
        """Claim the folder for a short run: one that was stopped half-way is begun again.

        Raises:
            CannotDo: it holds a finished run, or a run of another kind.
        """
        if (self.path / "settings.json").exists():
            stopped = self.settings().get("kind") == settings["kind"] and not self.classifier.exists()
            if not stopped:
                raise CannotDo(
                    f"'{self.path.name}' already holds a run", "choose another --out, or delete it"
                )
        self._begin(settings)

    def _begin(self, settings: dict[str, Any]) -> None:
        self.write_json("settings.json", settings)
        self.write_json("environment.json", environment())

    def settings(self) -> dict[str, Any]:
        """The resolved settings.

        Raises:
            CannotDo: the folder is not a run.
        """
        return self.read_json("settings.json")

    def settings_of(self, kind: type[AnySettings], values: dict[str, Any]) -> AnySettings:
        """The run's settings as a class, from what `settings` gave less what is not of the class.

        Raises:
            CannotDo: they are not of this version.
        """
        try:
            return kind.model_validate(values)
        except ValidationError:
            raise CannotDo(
                f"the run '{self.path.name}' was made by another version of Apical",
                "make it again, or use that version",
            ) from None

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the run's small files; raises CannotDo where it is missing or damaged."""
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CannotDo(
                f"'{self.path.name}' is not a run folder ({name}: {type(error).__name__})",
                "give a folder that 'apical pretrain' or 'apical train' made",
            ) from None
        return content

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write one of the run's small files atomically."""
        write_atomically(self.path / name, (json.dumps(content, indent=2) + "\n").encode())


def environment() -> dict[str, Any]:
    """What a reader needs to repeat a run: versions, machine and git state, without host or user names."""
    packages = ("apical", "torch", "numpy", "lightning-fabric", "opencv-python-headless", "pydicom")
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "packages": {name: version(name) for name in packages},
    }
    facts["git"] = git_state(Path(__file__))
    return facts


def git_state(file: Path) -> dict[str, Any] | None:
    """Commit and number of changed files of the checkout that tracks `file`; None where none does."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=file.parent, capture_output=True, text=True, timeout=10, check=True
        ).stdout

    try:
        git("ls-files", "--error-unmatch", file.name)
        return {
            "commit": git("rev-parse", "HEAD").strip(),
            "changed_files": len(git("status", "--porcelain").splitlines()),
        }
    except (OSError, subprocess.SubprocessError):
        return None
