"""The errors a user can meet. Each says what is wrong and what to do next, in one line."""

from __future__ import annotations


class ApicalError(Exception):
    """Something a user can understand and act on.

    Attributes:
        what: what is wrong, without a full stop.
        do: what to do next, without a full stop.
        exit_code: the status with which the command line ends.
    """

    exit_code = 3

    def __init__(self, what: str, do: str) -> None:
        self.what = what
        self.do = do
        super().__init__(what, do)

    def __str__(self) -> str:
        return f"{self.what}. {self.do[:1].upper()}{self.do[1:]}."


class WrongCall(ApicalError):
    """The command or function was called in a way that cannot work (exit code 2)."""

    exit_code = 2


class CannotDo(ApicalError):
    """The call was right, but its inputs or the machine do not allow it (exit code 3)."""


class PatientOverlap(CannotDo):
    """The same patient stands in two splits; every figure computed from them would be too good."""


class ClipProblem(Exception):
    """One file cannot be used. Becomes the ``problem`` of its row; never ends a batch.

    The message must not quote the file's path or any of its text: both may hold identifiers.
    """


class OtherMode(ClipProblem):
    """The clip is sound, but it shows something else than a 2-D image.

    Attributes:
        mode: what it shows: ``colour``, ``spectral``, ``m-mode`` or ``other``.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        super().__init__(mode)

    def __str__(self) -> str:
        return f"not a 2-D clip but {self.mode}"
