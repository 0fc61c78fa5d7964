"""A service that speaks the HTTP API and knows nothing: made-up answers and cines, to build the page with.

``python tests/deploy/service/fake_service.py`` serves it at http://127.0.0.1:8765. What a clip is answered
follows from the place at which it was sent, so that every kind of answer is met.
"""

import io
import json
import re
import threading
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import apical
from apical.views import standard_vocabulary

PAGE = Path(apical.__file__).with_name("deploy") / "service" / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SAFETY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
VIEWS = standard_vocabulary()
FRAMES = (2, 7, 12, 17, 22, 27, 32, 37)
UNKNOWN_THRESHOLD = 409.0
STUDIES = ("4f1c2a", "9b07de")
DOUBTFUL_BELOW = 0.8

# What is said of the clips in the order of sending, over and over.
SAID = [
    {"likeliest": "PLAX", "probability": 0.97},
    {"likeliest": "A4C", "probability": 0.93, "views": ("A4C", "A5C")},
    {"likeliest": "A2C", "probability": 0.61, "views": ("A2C", "A3C", "A4C"), "doubtful": True},
    {"likeliest": "PSAX-AV", "probability": 0.89, "views": ("PSAX-AV", "RV-inflow")},
    {"likeliest": "PSAX-PM", "probability": 0.999, "frames_used": FRAMES[:1]},
    {"likeliest": "IVC", "probability": 0.71, "unknown": True, "unknown_score": 731.2},
    {"mode": "spectral"},
    {"problem": "pixel data is cut off: 3 of 40 frames are there"},
    {"likeliest": "A4C", "probability": 0.86, "contrast_agent_probability": 0.97},
    {"likeliest": "PSAX-MV", "probability": 0.91, "views": ("PSAX-MV", "PSAX-PM")},
    {"likeliest": "A3C", "probability": 0.88},
    {"likeliest": "subcostal-4C", "probability": 0.54, "views": ("subcostal-4C", "A4C"), "doubtful": True},
]  # fmt: skip


@dataclass
class Told:
    """What the service was asked, and what it shall do."""

    token: str | None = None
    refusals: int = 0  # so many sendings are answered with 429
    largest: int = 1 << 30  # bytes of a request
    gate: threading.Event = field(default_factory=threading.Event)  # sendings wait while it is closed
    speed: int = 3  # items answered with each look at their job
    jobs: dict[str, list[str]] = field(default_factory=dict)
    answered: dict[str, int] = field(default_factory=dict)  # job → items
    items: list[bytes] = field(default_factory=list)  # what was sent, in order
    requests: list[tuple[str, str]] = field(default_factory=list)  # method and path
    bodies: list[bytes] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.gate.set()


def said_of(number: int) -> dict[str, object]:
    """The answer for the item that was sent as number `number`, from 0."""
    given = {
        "model": "ef9894d93dc8",
        "clip": f"{number:016x}",
        "study": STUDIES[number // len(SAID) % 2],
        **SAID[number % len(SAID)],
    }
    if "problem" in given or "mode" in given:
        return {"view": None, "likeliest": None, "probability": None, "views": [], **given}
    answer = {"views": [given["likeliest"]], "unknown": False, "doubtful": False, "unknown_score": 212.5}
    answer |= {"contrast_agent": None, "contrast_agent_probability": 0.04, "mode": "2d"}
    answer |= {"frames_used": FRAMES, "problem": None, **given}
    return answer | {"view": None if answer["unknown"] else answer["likeliest"]}


def evidence_of(answer: dict[str, object]) -> dict[str, object] | None:
    """Probabilities and votes that fit an answer."""
    if answer["likeliest"] is None:
        return None
    best, probability = str(answer["likeliest"]), float(answer["probability"])
    names = [best, *(name for name in answer["views"] if name != best)]
    names += [name for name in VIEWS.names if name not in names]
    rest = (1 - probability) * np.array([0.6, 0.25, 0.1, 0.04])
    frames = [
        {
            "number": number,
            "view": names[1] if place == 2 and probability < 0.95 else best,
            "probability": round(max(probability - 0.08 * (place % 3), 0.3), 3),
        }
        for place, number in enumerate(answer["frames_used"])
    ]
    return {
        "probabilities": dict(zip(names[:5], [probability, *map(float, rest)], strict=True)),
        "frames": frames,
        "unknown_threshold": UNKNOWN_THRESHOLD,
        "doubtful_below": DOUBTFUL_BELOW,
    }


@cache
def cine(view: str, frames: int, size: int = 320) -> bytes:
    """An animated WebP of a sector with something that beats in it; another picture for each view."""
    random = np.random.default_rng(sum(map(ord, view)))
    y, x = np.mgrid[:size, :size] / size
    depth, angle = np.hypot(x - 0.5, y - 0.02), np.arctan2(x - 0.5, y - 0.02)
    sector = (np.abs(angle) < 0.66) & (depth < 0.95)
    speckle = cv2.GaussianBlur(random.gamma(1.2, 1.0, (size, size)), (0, 0), 1.1)
    chambers = [
        (random.uniform(-0.25, 0.25), random.uniform(0.3, 0.75), random.uniform(0.12, 0.2)) for _ in range(4)
    ]
    pictures = []
    for phase in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        tissue = np.ones((size, size))
        for turn, away, radius in chambers:
            now = radius * (1 + 0.18 * np.sin(phase + away))
            inside = np.hypot(angle - turn, (depth - away) * 1.6) / now
            tissue *= 0.08 + 0.92 / (1 + np.exp(-14 * (inside - 1)))
        gray = np.clip(120 * speckle * tissue * (1.1 - 0.5 * depth), 0, 255) * sector
        pictures.append(Image.fromarray(gray.astype(np.uint8)))
    out = io.BytesIO()
    pictures[0].save(out, "WEBP", save_all=True, append_images=pictures[1:], duration=90, loop=0, quality=80)
    return out.getvalue()


def unpacked(content: bytes) -> list[bytes]:
    """The members of a zip archive; any other file is itself."""
    if not content.startswith(b"PK"):
        return [content]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(name) for name in archive.namelist()]


class Handler(BaseHTTPRequestHandler):
    """The HTTP API of the service."""

    told: Told

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._note()
        path = self.path.split("?")[0]
        if (page := PAGE / (path.strip("/") or "index.html")).parent == PAGE and page.is_file():
            self._send(200, page.read_bytes(), TYPES[page.suffix])
        elif self._may():
            found = re.fullmatch(r"/v1/(model|jobs|items)(?:/(\w+)(/cine)?)?", path)
            say = getattr(self, f"_{found[1]}") if found else self._nothing
            say(found[2], bool(found[3])) if found else say()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._note()
        self.told.gate.wait()
        with self.told.lock:
            self.told.bodies.append(body)
            if not self._may():
                return
            if self.told.refusals > 0:
                self.told.refusals -= 1
                self._send(429, b"{}", headers={"Retry-After": "1"})
                return
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            if len(body) > self.told.largest:
                self._json({"problem": "the request is too large"}, 413)
                return
            parts = list(BytesParser(policy=HTTP).parsebytes(head + body).iter_parts())
            first = len(self.told.items)
            self.told.items += chain(*(unpacked(part.get_payload(decode=True)) for part in parts))
            job = f"job{len(self.told.jobs)}"
            names = [f"item{number}" for number in range(first, len(self.told.items))]
            self.told.jobs[job], self.told.answered[job] = names, 0
        items = [{"item": name, "number": place} for place, name in enumerate(names, start=1)]
        self._json({"job": job, "items": items}, 202)

    def do_DELETE(self) -> None:
        self._note()
        if self._may():
            self.told.jobs.pop(self.path.split("/")[-1], None)
            self._send(204, b"")

    def _model(self, *_: object) -> None:
        views = [{"name": view.name, "title": view.title} for view in VIEWS]
        self._json({
            "version": "ef9894d93dc8", "views": views, "taught": VIEWS.names,
            "thresholds": {"unknown": UNKNOWN_THRESHOLD, "doubtful_below": DOUBTFUL_BELOW},
            "runtime": "openvino (cpu, int8)", "intended_use": "research only; not a medical device",
        })  # fmt: skip

    def _jobs(self, job: str, _: bool) -> None:
        with self.told.lock:
            if job not in self.told.jobs:
                return self._nothing()
            names, done = self.told.jobs[job], self.told.answered[job]
            answers = [
                {"item": name, "number": place, **said_of(int(name[4:]))}
                for place, name in enumerate(names[:done], start=1)
            ]
            left = len(names) - done
            self.told.answered[job] = min(done + self.told.speed, len(names))
        state = "done" if left == 0 else "running"
        counts = {"queued": max(left - 1, 0), "running": min(left, 1), "done": done, "total": len(names)}
        self._json({"job": job, "state": state, **counts, "answers": answers})

    def _items(self, item: str, wants_cine: bool) -> None:
        answer = said_of(int(item[4:]))
        if wants_cine:
            self._send(200, cine(str(answer["likeliest"]), len(answer["frames_used"])), "image/webp")
        else:
            self._json(
                {
                    "item": item,
                    "number": 1,
                    "state": "done",
                    "answer": answer,
                    "evidence": evidence_of(answer),
                }
            )

    def _nothing(self) -> None:
        self._json({"problem": "there is no such thing"}, 404)

    def _may(self) -> bool:
        if self.headers["Origin"] not in (None, f"http://{self.headers['Host']}"):
            self._json({"problem": "the request is from another site's page"}, 403)
        elif self.told.token not in (None, (self.headers["Authorization"] or "").removeprefix("Bearer ")):
            self._json({"problem": "the token is missing or wrong"}, 401)
        else:
            return True
        return False

    def _note(self) -> None:
        with self.told.lock:
            self.told.requests.append((self.command, self.path))

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode())

    def _send(
        self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **SAFETY, **(headers or {})}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # the page may have left
            self.wfile.write(body)


def start(told: Told, port: int = 0) -> ThreadingHTTPServer:
    """Serve in the background; end it with ``shutdown()`` and ``server_close()``."""
    handler = type("Handler", (Handler,), {"told": told})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


if __name__ == "__main__":
    print(f"http://127.0.0.1:{start(Told(speed=1), 8765).server_port}")
    threading.Event().wait()
