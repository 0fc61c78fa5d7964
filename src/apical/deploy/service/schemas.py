"""What the HTTP API takes and gives, as its OpenAPI tells it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

UID = r"^[0-9.]{1,64}$"
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "additionalProperties": False,
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}
State = Literal["queued", "running", "done"]


class Problem(BaseModel):
    """What is wrong, and what to do."""

    problem: str
    do: str


class AcceptedItem(BaseModel):
    """A file of a job; numbers go from 1, in the order in which files were sent."""

    item: str
    number: int


class Accepted(BaseModel):
    """A job that will be answered, whatever happens to the server."""

    job: str
    items: list[AcceptedItem]


class Job(BaseModel):
    """How far a job is, and its answers so far, in order, each with its ``item``."""

    job: str
    state: State
    queued: int
    running: int
    done: int
    total: int
    answers: list[dict[str, Any]]


class ItemSaid(BaseModel):
    """A file of a job; its answer and what that rests on, once it is done."""

    item: str
    number: int
    state: State
    answer: dict[str, Any] | None
    evidence: dict[str, Any] | None


class Notice(BaseModel):
    """What is new in the PACS, as far as is known."""

    model_config = ConfigDict(extra="forbid")

    study: str | None = Field(None, pattern=UID)
    series: str | None = Field(None, pattern=UID)
    instance: str | None = Field(None, pattern=UID)
