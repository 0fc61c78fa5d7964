"""``apical`` and ``python -m apical``."""

from __future__ import annotations

import sys

from apical.cli import app, run
from apical.demo import demo

app.command()(demo)


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
