"""The server of the live page: one browser on this machine, over one websocket.

- It listens on 127.0.0.1 alone. The page and the websocket need the token of the printed address;
  the websocket also needs the page's Origin, and every request needs the address's Host.
- Everything that comes in is limited. A picture or message that cannot be accepted is answered
  with one sentence, and the connection stays open.
- Messages are answered one at a time and in order, in one thread beside the server's: the browser
  has at most two pictures under way, and nothing piles up here.
- The browser gets JSON texts of the kinds hello, frame, answer, kept, notice, refused.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.log import app_log
from tornado.web import Application, Finish, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from src.clips import RawClip
from src.common.errors import InputError
from src.common.files import write_atomically
from src.landmarks import EDGES
from src.video import collection
from src.video.live.incoming import MOST_WORDS, check_picture, parsed, plain_name
from src.video.live.session import Event, Frame, Session, Shot, State

HOST = "127.0.0.1"
MOST_MESSAGE = 4_000_000  # bytes; beyond this the connection is closed
CONNECTIONS = 64  # open at a time; a browser keeps six
IDLE = 20  # seconds after which a connection that asks nothing is closed
PING = 30  # seconds between pings
PAGES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
PUBLIC = ("/page.js", "/page.css")  # they hold nothing secret
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self' ws:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
BUSY = "Another browser is on this page; close it there, then press Start."


@dataclass
class Live:
    """What the server needs, and the browser that it serves."""

    landmarks: Callable[[bytes], Frame]  # of a JPEG picture
    save_video: Callable[..., None]  # of JPEG pictures: (path, jpegs, fps)
    best: Callable[[RawClip], list[tuple[str, float]]]  # signs of a clip, with their probabilities
    to: Path  # the competition folder for what is kept
    title: str  # what is recognised, in words
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    browser: Socket | None = None
    port: int = 0
    # One thread: pictures are followed in order, and the interpreter takes one clip at a time.
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def address(self) -> str:
        """The page's address, with the token in it."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names by which a browser on this machine calls the server."""
        return f"{HOST}:{self.port}", f"localhost:{self.port}"


class _Guarded(RequestHandler):
    """Refuses, in one sentence, requests that do not come from the printed address."""

    live: Live

    def initialize(self, live: Live) -> None:
        self.live = live

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")

    def prepare(self) -> None:
        if self.request.host not in self.live.hosts:
            self._refuse(f"This server is at {HOST} and answers to no other name.")
        token = self.get_query_argument("token", "").encode()
        has_token = hmac.compare_digest(token, self.live.token.encode())
        if not has_token and self.request.path not in PUBLIC:
            self._refuse("Open the address that `make live` has printed: its token is missing.")

    def _refuse(self, why: str) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        raise Finish(why + "\n")


class Page(_Guarded):
    """The page, its script and its style."""

    def get(self) -> None:
        """Answer with the file."""
        name, kind = PAGES[self.request.path]
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish(Path(__file__).with_name(name).read_text(encoding="utf-8"))


class Socket(_Guarded, WebSocketHandler):
    """The one browser that signs."""

    def prepare(self) -> None:
        """Refuse other pages, and clients without an Origin, which are no browsers or hide it."""
        super().prepare()
        if self.request.headers.get("Origin") not in [f"http://{host}" for host in self.live.hosts]:
            self._refuse("Only the page of this server may connect.")

    def check_origin(self, origin: str) -> bool:
        """`prepare` has checked it."""
        return True

    async def open(self) -> None:
        """Greet the browser, or refuse it if another one is connected."""
        if self.live.browser:
            await self._say("refused", text=BUSY)
            self.close(1013, "another browser is connected")
            return
        self.live.browser, self.session = self, Session()
        await self._say("hello", title=self.live.title, to=str(self.live.to), edges=EDGES)

    def on_close(self) -> None:
        """Make room for another browser."""
        if self.live.browser is self:
            self.live.browser = None

    async def on_message(self, message: str | bytes) -> None:
        """Answer one message; not even a bad one ends the connection."""
        if self.live.browser is not self:
            return
        unanswered = isinstance(message, bytes)  # a picture; the browser counts answers to these
        try:
            if isinstance(message, bytes):
                event = await self._picture(message)
                unanswered = False
                await self._tell(event)
            else:
                await self._words(message)
        except asyncio.CancelledError:  # Ctrl-C
            self.close(1001)
        except Exception as error:
            text = str(error)
            if not isinstance(error, InputError):
                app_log.exception("the live page")
                text = f"The server failed ({error!r}); its terminal says more."
            # A refused picture is answered, too; otherwise the browser would wait for it.
            await self._say("notice", text=text, frame=unanswered)

    async def _picture(self, jpeg: bytes) -> Event:
        check_picture(jpeg)
        frame = await self._in_thread(self.live.landmarks, jpeg)
        event = self.session.feed(Shot(frame, jpeg, time.monotonic()))
        await self._say(
            "frame", xy=_drawable(frame), state=self.session.state, frames=len(self.session.shots)
        )
        return event

    async def _words(self, text: str) -> None:
        match parsed(text):
            case {"kind": "settings", "way": "key" | "hands" as way, "record": bool(record)}:
                self.session.change(way, record)
            case {"kind": "press"}:
                self.session.press()
            case {"kind": "release"}:
                await self._tell(self.session.release())
            case {"kind": "keep", "sign": str(sign), "signer": str(who), "video": bool(video)}:
                await self._keep(plain_name("sign", sign), plain_name("signer", who), video)
            case {"kind": "discard"}:
                self.session.discard()
                await self._say("notice", text="Discarded.")
            case _:
                raise InputError(f"expected a message of the page, found {text[:60]!r}")

    async def _tell(self, event: Event) -> None:
        """Tell the browser what a frame or the key has caused."""
        if event is Event.TOO_SHORT:
            await self._say(
                "notice", text="That was too short for a sign; hold it a little longer."
            )
        if event not in (Event.PAUSED, Event.ENDED):
            return
        clip, final = self.session.clip(), event is Event.ENDED
        best = await self._in_thread(self.live.best, clip)
        waiting = self.session.state is State.WAITING
        await self._say("answer", best=best, frames=len(clip), final=final, waiting=waiting)

    async def _keep(self, sign: str, signer: str, video: bool) -> None:
        if self.session.state is not State.WAITING:
            raise InputError("There is no clip to keep; record one first.")
        shots = self.session.shots
        path = await self._in_thread(
            collection.add, self.session.clip(), signer, sign, self.live.to
        )
        self.session.discard()  # kept already, whatever becomes of the video
        text = f"Kept {sign} by {signer}: {path}"
        if video:
            fps = (len(shots) - 1) / max(shots[-1].time - shots[0].time, 1e-3)
            save = partial(self.live.save_video, jpegs=[s.jpeg for s in shots], fps=fps)
            try:
                await self._in_thread(write_atomically, path.with_suffix(".mp4"), save)
            except (InputError, OSError) as error:
                text += f"; without its video: {error}"
        await self._say("kept", text=text)

    async def _in_thread(self, call: Callable, *arguments: object) -> object:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.live.thread, call, *arguments)

    async def _say(self, kind: str, **what: object) -> None:
        with suppress(WebSocketClosedError):  # the browser left while it was answered
            await self.write_message(json.dumps({"kind": kind, **what}))


def _drawable(frame: Frame) -> list[int | None]:
    """x and y of every landmark in ten-thousandths of the picture, None = not detected."""
    xy = frame[:, :2].ravel()
    whole = np.rint(np.clip(np.nan_to_num(xy), -2, 3) * 10_000).astype(int)
    return np.where(np.isnan(xy), None, whole.astype(object)).tolist()


# --- the server ---------------------------------------------------------------------------------


class _Bounded(HTTPServer):
    """A server with at most `CONNECTIONS` connections; further ones are closed at once."""

    def handle_stream(self, stream: IOStream, address: tuple) -> None:
        if len(self._connections) >= CONNECTIONS:
            stream.close()
        else:
            super().handle_stream(stream, address)


def listen(live: Live, port: int) -> HTTPServer:
    """Start to answer on a port, 0 = any that is free; needs a running event loop.

    Raises:
        InputError: the port is taken, or does not exist.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"port {port}: expected 0 to 65535; choose another by --port")
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise InputError(
            f"port {port}: expected it free, found {error.strerror}; choose another by --port"
        ) from error
    listening.setblocking(False)
    live.port = listening.getsockname()[1]
    handlers = {**dict.fromkeys(PAGES, Page), "/live": Socket}
    routes = [(re.escape(path), handler, {"live": live}) for path, handler in handlers.items()]
    app = Application(
        routes,
        log_function=lambda handler: None,
        websocket_max_message_size=MOST_MESSAGE,
        websocket_ping_interval=PING,
    )
    server = _Bounded(
        app,
        idle_connection_timeout=IDLE,
        max_header_size=16_384,  # bytes
        max_body_size=MOST_WORDS,
    )
    server.add_socket(listening)
    return server


async def serve(live: Live, port: int) -> None:
    """Print the page's address and answer until the process is interrupted."""
    listen(live, port)
    print(f"{live.title}; clips go to {live.to}\n{live.address}\nCtrl-C ends it.", flush=True)
    await asyncio.Event().wait()
