"""A headless Chromium, driven over its DevTools protocol: pages in any size and colour scheme, and what they did.

The binary is the one that the environment variable CHROMIUM names, or one of the usual names on the path.
"""

import asyncio
import base64
import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


def binary() -> str | None:
    """The path of a Chromium, or None where there is none."""
    return os.environ.get("CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass(frozen=True)
class Seen:
    """The outcome of a page: `value` of the script that was run in it, the URLs it asked for, what it wrote to the
    console, and a picture of it (PNG)."""

    value: Any
    requests: list[str]
    complaints: list[str]
    picture: bytes


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[str]:
    """Starts one and gives the URL of its protocol; ends it afterwards."""
    command = [binary() or NAMES[0], "--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    command += [
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
    ]
    if os.geteuid() == 0:
        command.append("--no-sandbox")
    # A group of its own: what Debian calls chromium-headless-shell is a script, and the browser is its child.
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if match := re.search(r"DevTools listening on (ws://\S+)", line):
                break
        else:
            raise RuntimeError(f"{command[0]} did not start: {''.join(lines[-5:])}")
        yield match[1]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.stderr.read()  # it ends when the last process of the group has
        process.wait()


def look(browser: str, url: str, width: int, scheme: str, script: str, whole: bool = False) -> Seen:
    """Opens a page `width` pixels wide in the colour scheme `light` or `dark`, and runs a script in it when it is
    loaded. The picture is of the first 900 pixels, or of the whole page."""
    return asyncio.run(_look(browser, url, width, scheme, script, whole))


async def _look(browser: str, url: str, width: int, scheme: str, script: str, whole: bool) -> Seen:
    async with aiohttp.ClientSession() as session, session.ws_connect(browser, max_msg_size=0) as socket:
        protocol = _Protocol(socket)
        target = await protocol.call("Target.createTarget", url="about:blank")
        attached = await protocol.call("Target.attachToTarget", flatten=True, **target)
        protocol.session = attached
        for domain in ("Page", "Runtime", "Log", "Network"):
            await protocol.call(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await protocol.call("Emulation.setDeviceMetricsOverride", **size)
        await protocol.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await protocol.call("Page.navigate", url=url)
        await protocol.wait("Page.loadEventFired")
        ran = await protocol.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in ran:
            raise RuntimeError(ran["exceptionDetails"]["exception"]["description"])
        shot = await protocol.call("Page.captureScreenshot", **({"captureBeyondViewport": True} if whole else {}))
        await protocol.call("Target.closeTarget", **target)
    seen = protocol.events
    return Seen(
        value=ran["result"].get("value"),
        requests=[one["request"]["url"] for name, one in seen if name == "Network.requestWillBeSent"],
        complaints=[str(one) for name, one in seen if name in COMPLAINTS],
        picture=base64.b64decode(shot["data"]),
    )


@dataclass
class _Protocol:
    """Calls and their answers; events are kept in the order in which they came."""

    socket: aiohttp.ClientWebSocketResponse
    session: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, dict]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": parameters, **self.session})
        while True:
            message = await self._next()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    async def wait(self, event: str) -> None:
        while event not in [name for name, _ in self.events]:
            await self._next()

    async def _next(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.socket.receive_json(), 60)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message
