"""Contact sheets of the phantom: by view, machine, disease, quality, contrast agent and mode.

python benchmarks/phantom_sheets.py --out sheets
"""

from __future__ import annotations

import argparse
from pathlib import Path

from apical.phantom.sheet import (
    draw_contrast,
    draw_diseases,
    draw_machines,
    draw_modes,
    draw_quality,
    draw_views,
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=5, help="tiles of a row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--difficulty", type=float, default=0.55)
    options = parser.parse_args()
    out, alike = options.out, {"seed": options.seed, "difficulty": options.difficulty}
    out.mkdir(parents=True, exist_ok=True)
    draw_views(out / "views.png", patients=options.patients, extra=True, **alike)
    draw_contrast(out / "contrast.png", patients=options.patients, **alike)
    draw_diseases(out / "diseases.png", patients=2, **alike)
    draw_quality(out / "quality.png", **alike)
    draw_machines(out / "machines.png", view="A4C", **alike)
    draw_modes(out / "modes.png", machines=(1, 5, 10, 15, 20), **alike)


if __name__ == "__main__":
    main()
