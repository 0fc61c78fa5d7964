"""Beside an Orthanc: every image that shows a view has one report in the end, whatever was killed."""

from __future__ import annotations

import random
from collections import Counter

import pydicom

from apical.deploy.service.instances import CLASSES
from service_parts.bench import Bench, Figures
from service_parts.files import Mix
from service_parts.ledger import Rows
from service_parts.orthancs import (
    ENVIRONMENT,
    EVERY,
    Feeder,
    Orthanc,
    digest,
    held,
    make_faults,
    reports_of,
    settle,
    sources,
)
from service_parts.senders import Instance, copies
from service_parts.server import PATIENCE


def pacs(bench: Bench) -> Figures:
    """Feed an Orthanc while it and the service are stopped and killed, and look at what it holds then."""
    options, seconds = bench.options, bench.options.pacs_seconds
    folder, made = bench.folder / "instances", []
    folder.mkdir()
    for number, file in enumerate(bench.files):
        made += copies(file, f"dicom {number}", folder, options.copies, f"pacs {options.seed}")
    random.Random(options.seed).shuffle(made)
    expected = {one.uid for one in made if is_reported(one, bench.mix)}
    orthanc = Orthanc(bench.folder / "orthanc").start()
    server = None
    try:
        server = bench.server("pacs", ENVIRONMENT, pacs={"url": orthanc.url, "every": EVERY, "days": None})
        feeder = Feeder(orthanc, server, made, seconds)
        faults = make_faults(orthanc, server, seconds, options.seed)
        feeder.wait(seconds + PATIENCE)
        settle(orthanc, server, len(expected))
        reports = reports_of(orthanc)
        now = {one.uid: held(orthanc, one.uid) for one in made}
        count = len(orthanc.rest("/instances"))
        server.stop()
        spooled = server.spooled()
    finally:
        if server is not None:
            server.end()
        orthanc.kill()
    rows = Rows(server.state)
    said = Counter(uid for report in reports for uid in sources(report))
    changed = [uid for uid, one in now.items() if one != feeder.hashes.get(uid)]
    by_rest = [one for one in made[::2] if digest(one.file.read_bytes()) != now[one.uid]]
    bench.check("pacs", len(feeder.hashes) == len(made), "not all instances could be stored")
    bare, foreign = expected - set(said), set(said) - expected
    bench.check(
        "pacs", bool(expected) and not bare, f"{len(bare)} of {len(expected)} images without a report"
    )
    bench.check("pacs", not foreign, f"{len(foreign)} reports on others")
    bench.check("pacs", max(said.values(), default=0) <= 1, "two reports on an image")
    bench.check("pacs", not changed and not by_rest, f"{len(changed)} originals changed")
    bench.check("pacs", count == len(made) + len(reports), "Orthanc holds other things")
    bench.check("pacs", not rows.undone and not rows.outbox, "items or documents are left")
    bench.check("pacs", not spooled, f"{spooled} files left in the spool")
    return [
        ("what happened meanwhile", "; ".join(faults)),
        ("instances stored in Orthanc, tries repeated", f"{len(feeder.hashes)}, {feeder.again}"),
        ("notices taken, not taken", f"{feeder.notices[True]}, {feeder.notices[False]}"),
        ("of them with a 2-D view, with exactly one report",
         f"{len(expected)}, {sum(said[uid] == 1 for uid in expected)}"),
        ("reports on others, or second ones", str(sum(said.values()) - len(expected & set(said)))),
        ("originals changed", str(len(changed))),
        ("attempts above one", str(sum(one > 1 for one in rows.attempts.values()))),
    ]  # fmt: skip


def is_reported(one: Instance, mix: Mix) -> bool:
    """Whether a report is due: the image is ultrasound, and the library sees a 2-D view."""
    kind = pydicom.dcmread(one.file, specific_tags=["SOPClassUID"]).SOPClassUID
    return kind in CLASSES and mix.known[one.piece]["likeliest"] is not None
