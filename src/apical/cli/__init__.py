"""The command line: one verb, one function of the Python API.

Exit codes: 0 done · 1 done with problems listed · 2 wrong call · 3 could not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from apical.cli.options import COULD_NOT, DONE, WRONG_CALL
from apical.cli.verbs import app
from apical.errors import ApicalError

INTERRUPTED = 130  # what the parser returns for Ctrl-C

__all__ = ["app", "run"]


def run(words: Sequence[str]) -> int:
    """Run one command, without the word ``apical``; errors become a line on standard error.

    Returns:
        the exit code.
    """
    try:
        code = int(app(args=list(words), prog_name="apical", standalone_mode=False) or DONE)
    except ApicalError as error:
        print(f"apical: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away: not our failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if not hasattr(error, "format_message"):  # only the parser's own errors have it
            raise
        print(f"apical: {error.format_message()} (see --help)", file=sys.stderr)
        return WRONG_CALL
    if code == INTERRUPTED:
        print(
            "apical: stopped. 'frames', 'study' and 'predict --out' go on by the same call, 'pretrain' with "
            "--resume.",
            file=sys.stderr,
        )
        return COULD_NOT
    return code
