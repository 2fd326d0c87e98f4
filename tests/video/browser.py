"""Headless Chromium with a camera that plays pictures, driven over its DevTools."""

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import WebSocketClientConnection, websocket_connect

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
    *("--remote-debugging-port=0", "--window-size=1180,760", "about:blank"),
)


def write_camera(path: Path, pictures: Iterable[np.ndarray], fps: int) -> Path:
    """Write (height, width, 3) uint8 pictures as the .y4m file that the camera repeats."""
    with path.open("wb") as file:
        for number, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            if not number:
                file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
            y, *colours = Image.fromarray(picture).convert("YCbCr").split()
            file.write(b"FRAME\n" + y.tobytes())
            for plane in colours:
                file.write(plane.resize((width // 2, height // 2), Image.Resampling.BOX).tobytes())
    return path


class Tab:
    """One page of the browser."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection, self._numbers = connection, count(1)

    async def call(self, method: str, **parameters: object) -> dict:
        """One command of the DevTools, answered."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        await self._connection.write_message(json.dumps(command))
        while True:
            text = await asyncio.wait_for(self._connection.read_message(), 20)
            assert text is not None, "the browser has ended"
            answer = json.loads(text)
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    async def value(self, script: str) -> object:
        """What a JavaScript expression is, awaited."""
        found = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str, seconds: float = 20) -> object:
        """Wait until an expression is true, and return it."""
        for _ in range(round(seconds / 0.02)):
            if found := await self.value(script):
                return found
            await asyncio.sleep(0.02)
        said = await self.value("document.body.innerText")
        raise AssertionError(f"{script} is never true; the page says: {said}")

    async def key(self, key: str, down: bool | None = None, shift: bool = False) -> None:
        """Press a key down, or let it go, or both."""
        codes = {"Tab": 9, " ": 32, "ArrowDown": 40}
        about = {"key": key, "code": {" ": "Space"}.get(key, key)}
        about |= {"windowsVirtualKeyCode": codes[key], "modifiers": 8 if shift else 0}
        text = {"text": key} if len(key) == 1 else {}
        if down is not False:
            await self.call("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        if down is not True:
            await self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    async def click(self, name: str) -> None:
        """Click in the middle of an element with the mouse."""
        middle = "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
        x, y = await self.value(f"{middle}($('{name}').getBoundingClientRect())")
        for what in ("mousePressed", "mouseReleased"):
            about = {"type": what, "x": x, "y": y, "button": "left", "clickCount": 1}
            await self.call("Input.dispatchMouseEvent", **about)

    async def screenshot(self) -> Image.Image:
        """The page as it looks."""
        found = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return Image.open(BytesIO(base64.b64decode(found["data"])))


@asynccontextmanager
async def opened(folder: Path, camera: Path) -> AsyncIterator[Tab]:
    """A browser whose files are in `folder`."""
    words = [CHROMIUM, f"--user-data-dir={folder}", f"--use-file-for-fake-video-capture={camera}"]
    with subprocess.Popen([*words, *FLAGS], stderr=subprocess.DEVNULL) as process:
        try:
            told = folder / "DevToolsActivePort"
            for _ in range(1000):
                if told.is_file() and len(told.read_text().split()) == 2:
                    break
                await asyncio.sleep(0.02)
            port, _ = told.read_text().split()
            connection = await _first_tab(int(port))
            try:
                yield Tab(connection)
            finally:
                connection.close()
        finally:
            process.terminate()
            process.wait()


async def _first_tab(port: int) -> WebSocketClientConnection:
    found = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json/list")
    (page,) = (x for x in json.loads(found.body) if x["type"] == "page")
    return await websocket_connect(page["webSocketDebuggerUrl"], max_message_size=2**26)
