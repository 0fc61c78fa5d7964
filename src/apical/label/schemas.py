"""What the page may send. Whatever else a request holds is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from apical.label.opinions import LONGEST_NOTE, Said

Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
ClipId = Annotated[str, StringConstraints(min_length=1, max_length=300)]
MOST_AT_ONCE = 200  # clips of a batch


class Body(BaseModel):
    """What is sent has these fields and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Saying(Body):
    """What is said of a clip, see `apical.label.opinions.Said`."""

    view: Annotated[str, StringConstraints(max_length=100)] | None
    contrast_agent: bool | None = None
    quality: Literal["good", "fair", "poor"] | None = None
    note: Annotated[str, StringConstraints(max_length=LONGEST_NOTE)] = ""

    def said(self) -> Said:
        """The same as the records have it."""
        return Said(self.view, self.contrast_agent, self.quality, self.note)


class Answer(Body):
    """An answer to a task; `seen` is the annotator's latest event of the clip that the page knew."""

    task: Key
    said: Saying
    key: Key
    shown: bool
    seconds: Annotated[float, Field(ge=0, le=1e6, strict=False)] | None = None
    seen: Annotated[int, Field(ge=0, lt=1 << 62)] | None = None


class Batch(Body):
    """One thing said of many clips."""

    annotator: Name
    clips: Annotated[list[ClipId], Field(min_length=1, max_length=MOST_AT_ONCE)]
    said: Saying
    kind: Literal["wall", "map", "alike"]
    key: Key


class Back(Body):
    """Undo or redo."""

    annotator: Name
    key: Key


class Nothing(Body):
    """A request that says no more than its path."""
