"""C-STORE: many senders at once, against a receiver that is killed once if there is time for it."""

from __future__ import annotations

import json
import time
from typing import Any

from apical.ingest.pseudonyms import clip_id_of_uid
from service_parts.bench import Bench, Figures, finish, like
from service_parts.ledger import Rows
from service_parts.senders import Senders
from service_parts.server import free_port


def store(bench: Bench) -> Figures:
    """Senders for so long; each object they were told is stored has its answer."""
    options, port = bench.options, free_port()
    server = bench.server("store", receiver={"port": port})
    folder = bench.folder / "sent"
    folder.mkdir()
    named = {f"dicom {number}": file for number, file in enumerate(bench.files)}
    try:
        senders = Senders(
            named, folder, port, count=options.senders, seconds=options.store_seconds, seed=options.seed
        )
        if options.store_seconds >= 10:
            time.sleep(options.store_seconds / 2)
            server.kill()
            server.start()
        senders.wait()
        spooled = finish(server)
    finally:
        server.end()
    rows = Rows(server.state)
    said: dict[str, list[dict[str, Any]]] = {}
    for answer in map(json.loads, rows.answers.values()):
        said.setdefault(answer["clip"], []).append(answer)  # a clip's id is a hash of its SOPInstanceUID
    items = {uid: said.get(clip_id_of_uid(uid), []) for uid in senders.sent}
    lost = [uid for uid, found in items.items() if not found]
    twice = [uid for uid, found in items.items() if len(found) > 1]
    wrong = [
        uid for uid, found in items.items()
        if not all(like(answer, bench.mix.known[senders.sent[uid].piece]) for answer in found)
    ]  # fmt: skip
    bench.check("store", bool(items) and not lost, f"{len(lost)} of {len(items)} stored objects were lost")
    bench.check("store", not wrong, f"{len(wrong)} answers differ from the library's")
    bench.check("store", not rows.undone, f"{rows.undone} items are not done")
    bench.check("store", not twice, f"{len(twice)} objects were queued twice")
    bench.check("store", max(server.answered().values(), default=0) <= 1, "an item was answered twice")
    bench.check("store", not spooled, f"{spooled} files left in the spool")
    return [
        ("storescu in parallel, calls, of these repeated",
         f"{options.senders}, {senders.calls.total()}, {senders.calls[False]}"),
        ("objects stored (0x0000 read)", str(len(senders.sent))),
        ("of these lost, queued twice", f"{len(lost)}, {len(twice)}"),
        ("answered", str(len(rows.items) - rows.undone)),
    ]  # fmt: skip
