"""What cards of models and of data have in common: the block that hubs read, licences, tables.

The block is YAML between two lines of dashes, with the fields of Hugging Face's hub
(https://github.com/huggingface/hub-docs, ``modelcard.md`` and ``datasetcard.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

# Those of the hub's identifiers that models and data here may have; any other licence is "other" with a name.
_LICENCES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "mpl-2.0",
    "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0",
    "cc-by-nc-nd-4.0", "odbl", "odc-by", "pddl",
)  # fmt: skip


def front_matter(fields: Mapping[str, Any]) -> str:
    """The block that a card begins with, fields in their order."""
    text = yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n"


def licence_fields(licence: str) -> dict[str, str]:
    """``license``, and for one that the hub has no identifier of, ``license_name``."""
    name = "-".join(licence.lower().split())
    return {"license": name} if name in _LICENCES else {"license": "other", "license_name": name}


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; what stands in a cell cannot end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", r"\|").replace("<", "&lt;")
