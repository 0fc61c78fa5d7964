"""What all settings have in common, and how they are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from apical.errors import WrongCall


class Settings(BaseModel):
    """Base of all settings: frozen, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(kind: type[AnySettings], path: Path | None = None, **changes: Any) -> AnySettings:
    """Settings from a YAML file, changed by keyword arguments that are not None.

    An argument ``a__b`` changes the value b of the settings a.

    Raises:
        WrongCall: the file cannot be read, or a name or value is not allowed.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
            raise WrongCall(
                f"the settings file '{path.name}' cannot be read ({type(error).__name__})",
                "give a YAML file of 'name: value' lines",
            ) from None
    for name, value in changes.items():
        if value is not None:
            _put(values, name.split("__"), value)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise WrongCall(
            f"{kind.__name__} {name or 'values'}: {first['msg']}",
            f"see the fields of apical.config.{kind.__name__}",
        ) from None


def _put(values: dict[str, Any], place: list[str], value: Any) -> None:
    """Set a value in settings inside settings; what is no group is left for validation to refuse."""
    first, *rest = place
    if not rest:
        values[first] = value
    elif isinstance(inner := values.get(first) or {}, dict):
        values[first] = dict(inner)
        _put(values[first], rest, value)


def worker_count(workers: int) -> int:
    """Processes to start: `workers`, or one per core for 0, but two at least: one has no bounds."""
    return workers or max(2, os.cpu_count() or 1)
