"""A real Chromium, driven by the DevTools protocol through a pipe: no driver and no library in between."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CONTROLS = {"button", "link", "textbox", "checkbox", "combobox", "progressbar", "image"}
PATIENCE = 60.0  # seconds until what is waited for counts as never to come


class Tab:
    """One tab.

    Attributes:
        events: all that the browser told of it: pairs of method and parameters.
    """

    def __init__(self, call: Callable[..., Any], events: list[tuple[str, Any]]) -> None:
        self.call = call
        self.events = events
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            call(f"{domain}.enable")

    def open(self, address: str) -> None:
        before = sum(name == "Page.loadEventFired" for name, _ in self.events)
        self.call("Page.navigate", url=address)
        wait(
            lambda: (self.ask("1"), sum(name == "Page.loadEventFired" for name, _ in self.events) > before)[1]
        )

    def ask(self, question: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        told = self.call("Runtime.evaluate", expression=question, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """What is written in the elements that are seen, in one line each."""
        seen = f"[...document.querySelectorAll({selector!r})].filter(one => one.checkVisibility())"
        return list(self.ask(f"{seen}.map(one => one.innerText.replace(/\\s+/g, ' ').trim())"))

    def click(self, selector: str) -> None:
        """Click on an element."""
        self.ask(f"document.querySelector({selector!r}).click()")

    def until(self, question: str) -> None:
        """Ask again and again until the answer is true."""
        wait(lambda: self.ask(f"!!({question})"), question)

    def choose(self, selector: str, files: list[Path]) -> None:
        """Choose files in a file chooser, as by hand."""
        self.call(
            "DOM.setFileInputFiles", files=[str(file) for file in files], objectId=self._object(selector)
        )

    def drop(self, selector: str, files: list[Path]) -> None:
        """Drop files and folders on an element."""
        box = f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())"
        place = json.loads(self.ask(box))
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def save_to(self, folder: Path) -> None:
        """Let downloads go to `folder`."""
        self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def controls(self) -> list[tuple[str, str]]:
        """Role and name of all that can be used, as a screen reader is told."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        told = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]]
        return [(role, name) for role, name in told if role in CONTROLS]

    def press(self, key: str) -> None:
        """Press a key, named as in KeyboardEvent.key."""
        code = {"ArrowDown": 40, "ArrowUp": 38, "Enter": 13, "Escape": 27, "Tab": 9}[key]
        text = {"Enter": "\r"}.get(key, "")
        self.call(
            "Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, text=text
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def screen(self, width: int, height: int, scheme: str = "light", **features: str) -> None:
        """Look at it on a screen of so many CSS pixels, in the colour scheme `light` or `dark`."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        wanted = {
            "prefers-color-scheme": scheme,
            **{name.replace("_", "-"): value for name, value in features.items()},
        }
        told = [{"name": name, "value": value} for name, value in wanted.items()]
        self.call("Emulation.setEmulatedMedia", features=told)

    def picture(self, path: Path) -> None:
        """Save what is seen as a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """What the browser complained of: exceptions, violations of the policy; not answers like 401."""
        texts = [str(told) for name, told in self.events if name == "Runtime.exceptionThrown"]
        entries = [told["entry"] for name, told in self.events if name == "Log.entryAdded"]
        errors = [one["text"] for one in entries if one["level"] == "error" and one["source"] != "network"]
        return texts + errors

    def addresses(self) -> list[str]:
        """Every address that was asked for."""
        return [told["request"]["url"] for name, told in self.events if name == "Network.requestWillBeSent"]

    def _object(self, selector: str) -> str:
        told = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        return str(told["result"]["objectId"])


def wait(answer: Callable[[], Any], what: str = "") -> Any:
    """Ask until the answer is true; returns it."""
    end = time.monotonic() + PATIENCE
    while not (found := answer()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.03)
    return found


@contextmanager
def browser(folder: Path) -> Iterator[Callable[[], Tab]]:
    """Start a browser with its profile in `folder`; gives what opens a tab with nothing stored."""
    to_read, from_us = os.pipe()
    to_us, to_write = os.pipe()

    def hand_over() -> None:
        # Chromium reads commands at 3 and writes at 4; the pipes may lie there, so they move away first.
        ours = [os.dup2(fd, 20 + place) for place, fd in enumerate((to_read, to_write))]
        for place, fd in enumerate(ours):
            os.dup2(fd, 3 + place)

    words = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--remote-debugging-pipe",
        f"--user-data-dir={folder}", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(
        words, preexec_fn=hand_over, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(to_read)
    os.close(to_write)
    pipe = _Pipe(from_us, to_us)
    try:
        yield pipe.tab
        pipe.call("Browser.close")
    finally:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_us)
        os.close(to_us)


class _Pipe:
    """Commands out, answers and events in: JSON with a zero byte behind each."""

    def __init__(self, out: int, into: int) -> None:
        self.out, self.into, self.number, self.rest = out, into, 0, b""
        self.events: dict[str | None, list[tuple[str, Any]]] = {None: []}

    def tab(self) -> Tab:
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        events = self.events.setdefault(session, [])
        return Tab(lambda method, **values: self.call(method, session=session, **values), events)

    def call(self, method: str, session: str | None = None, **values: Any) -> Any:
        self.number += 1
        told = {"id": self.number, "method": method, "params": values} | (
            {"sessionId": session} if session else {}
        )
        os.write(self.out, json.dumps(told).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.setdefault(answer.get("sessionId"), []).append((answer["method"], answer["params"]))
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _next(self) -> Any:
        while b"\0" not in self.rest:
            some = os.read(self.into, 1 << 16)
            assert some, "the browser has ended"
            self.rest += some
        told, self.rest = self.rest.split(b"\0", 1)
        return json.loads(told)
