"""The service under load and faults: a real `apical serve` over HTTP, C-STORE, and beside a real Orthanc.

Four parts, each of which can be run alone (`--parts`), with figures as a table for docs/benchmarks.md:

load    clients that each send one to five files, good and bad, poll until all are answered, and go on;
kill    the same, while the server is killed (SIGKILL) at random moments and started again;
pacs    an Orthanc that is fed by storescu and REST while it and the service are stopped and killed;
store   `storescu` many times in parallel against the service's C-STORE receiver.

Every answer is compared with what the library says of the same file, each item must be answered once and stay
as it was answered, and in the end the queue's own file is compared with what clients were promised. Exits
with 1 if anything is wrong. Client and server share the machine, so speeds are too low, rather than too high.

    python benchmarks/service.py --bundle bundle --seconds 300
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from service_parts.bench import Bench
from service_parts.beside_pacs import pacs
from service_parts.c_store import store
from service_parts.load import kill, load
from service_parts.orthancs import IS_THERE
from service_parts.senders import STORESCU

PARTS = {"load": load, "kill": kill, "pacs": pacs, "store": store}


def machine() -> str:
    """What it ran on; others may use it too, which the load average of five minutes tells."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = model[0].split(":")[1].strip() if model else platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores, load average {os.getloadavg()[1]:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    parser.add_argument("--waiting", type=int, default=80, help="files that may wait; then comes 503")
    parser.add_argument("--kill-seconds", type=float, default=120)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--pacs-seconds", type=float, default=60)
    parser.add_argument("--copies", type=int, default=1, help="of each file of the phantom, for Orthanc")
    parser.add_argument("--store-seconds", type=float, default=30)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if STORESCU is None and {"store", "pacs"} & set(options.parts):
        parser.error("storescu is not installed (Debian: dcmtk): leave out the parts 'store' and 'pacs'")
    if not IS_THERE and "pacs" in options.parts:
        parser.error("Orthanc is not installed (orthanc, orthanc-dicomweb): leave out the part 'pacs'")
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(options, Path(place))
        for part in options.parts:
            begun = time.monotonic()
            figures = PARTS[part](bench)
            print(f"\n{part}, {time.monotonic() - begun:.0f} s; {machine()}\n\n| | |\n|---|---|")
            print("\n".join(f"| {name} | {value} |" for name, value in figures), flush=True)
    print()
    for fault in bench.faults:
        print(f"WRONG: {fault}")
    print(f"{len(bench.faults)} faults in {', '.join(options.parts)}")
    return 1 if bench.faults else 0


if __name__ == "__main__":
    sys.exit(main())
