"""Load over HTTP, and the same with a server that is killed again and again."""

from __future__ import annotations

import random
import time
from collections import Counter

from service_parts.bench import (
    Bench,
    Figures,
    audit,
    check_items,
    check_statuses,
    finish,
    once,
    problems,
    quantiles,
    statuses,
)
from service_parts.clients import BROKEN, Clients
from service_parts.ledger import Ledger, Rows
from service_parts.server import PATIENCE, Memory, wait_for

GROWN = 1.2  # times the memory of the first minute, beyond which it is not flat


def load(bench: Bench) -> Figures:
    """Clients for so long; nothing may be tried twice, and no connection break."""
    options, ledger = bench.options, Ledger(bench.mix.known)
    server = bench.server("load")
    try:
        memory = Memory(server)
        memory.start()
        begun = time.monotonic()
        clients = Clients(
            server.port, bench.mix, ledger, count=options.clients, seconds=options.seconds, seed=options.seed
        )
        clients.wait(options.seconds + PATIENCE)
        took = time.monotonic() - begun
        memory.done.set()
        memory.join()
        audit(server, ledger)
        figures = server.figures()
        counted = sum(value for name, value in figures.items() if name.startswith("apical_items_total"))
        code, spooled, left = server.stop(), server.spooled(), figures["apical_bytes_waiting"]
    finally:
        server.end()
    rows = Rows(server.state)
    tried = Counter(rows.attempts.values())
    broken = sum(count for said, count in clients.said.items() if BROKEN in said)
    check_items(bench, "load", ledger, rows, server)
    bench.check("load", rows.items == ledger.items, "the queue holds other items than clients were promised")
    bench.check("load", set(tried) <= {0, 1}, f"items tried again: {dict(tried)}")
    bench.check("load", counted == tried[1], "the server counts other answers than its queue holds")
    bench.check("load", once(server, rows) == len(rows.items), "an item was not answered once, by the log")
    for who, held in memory.by_minute().items() if options.seconds >= 120 else ():
        bench.check("load", held[-1] <= GROWN * held[0], f"the memory of {who} grew")
    bench.check("load", not broken, f"{broken} broken connections")
    check_statuses(bench, "load", clients)
    bench.check("load", not spooled and not left, f"{spooled} files left in the spool")
    bench.check("load", code == 0, f"exit code {code} after SIGTERM")
    return [
        ("jobs accepted, files in them", f"{len(ledger.jobs)}, {len(ledger.items)}"),
        ("answered once, of these with a problem", f"{once(server, rows)}, {problems(rows)}"),
        ("files a second", f"{clients.files / took:.1f}"),
        ("POST, seconds p50 / p99", quantiles(clients.posted)),
        ("from accepted to answered, seconds p50 / p99", quantiles(clients.waited)),
        *[
            (f"memory of {who} by minute, MB", " ".join(f"{one:.0f}" for one in held))
            for who, held in memory.by_minute().items()
        ],
        ("answers by status", statuses(clients)),
        ("files in the spool at the end", str(spooled)),
    ]


def kill(bench: Bench) -> Figures:
    """The same while the server is killed; what was promised is answered, once, whatever it takes."""
    options, ledger = bench.options, Ledger(bench.mix.known)
    chance = random.Random(options.seed)
    moments = sorted(chance.uniform(0, options.kill_seconds) for _ in range(options.kills))
    server = bench.server("kill")
    try:
        begun = time.monotonic()
        clients = Clients(
            server.port, bench.mix, ledger, count=options.clients, seconds=options.kill_seconds,
            seed=options.seed + 1,
        )  # fmt: skip
        for moment in moments:
            time.sleep(max(0.0, begun + moment - time.monotonic()))
            server.kill()  # perhaps while it starts
            server.start(wait=False)
        wait_for(server.is_ready, "the server does not start")
        clients.wait(options.kill_seconds + PATIENCE)
        audit(server, ledger)
        spooled = finish(server)
    finally:
        server.end()
    rows = Rows(server.state)
    check_items(bench, "kill", ledger, rows, server)
    check_statuses(bench, "kill", clients)
    bench.check("kill", ledger.items <= rows.items, "promised items are not in the queue")
    crashed = {item for item in ledger.crashed if rows.attempts[item] < 3}
    bench.check("kill", not crashed, f"{len(crashed)} items given up before the third crash")
    bench.check("kill", not spooled, f"{spooled} files left in the spool")
    tries = Counter(rows.attempts.values())
    return [
        (
            "kills; workers went on for at most",
            f"{options.kills}; {server.longest_left:.1f} s",
        ),
        ("jobs accepted (202 read), files in them", f"{len(ledger.jobs)}, {len(ledger.items)}"),
        ("of these answered", f"{len(ledger.items) - ledger.unanswered()}"),
        ("answered without a 202 having been read", f"{len(rows.items - ledger.items)}"),
        ("files by attempts", ", ".join(f"{tries[one]} × {one}" for one in sorted(tries))),
        ("given up after three crashes", str(len(ledger.crashed))),
        ("answers by status", statuses(clients)),
        ("files in the spool at the end", str(spooled)),
    ]
