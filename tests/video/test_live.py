"""The live page's server, with landmarks that are drawn: who may come, what may come, keeping."""

import asyncio
import json
import os
import socket
import unicodedata
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import signature
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from src.common.errors import InputError
from src.dataset import competition
from src.dataset.clip_file import read_clip
from src.landmarks import POSE, RIGHT_HAND, undetected
from src.video.live import server
from src.video.live.incoming import MOST_BYTES, plain_name
from src.video.live.server import BUSY, CONNECTIONS, Live, listen


def jpeg(grey: int = 100, size: tuple[int, int] = (64, 48)) -> bytes:
    file = BytesIO()
    Image.new("L", size, grey).save(file, "JPEG")
    return file.getvalue()


def landmarks(picture: bytes) -> np.ndarray:
    """All of the right hand and the pose is where the picture's grey says; 13: mediapipe dies."""
    grey = int(np.asarray(Image.open(BytesIO(picture))).mean().round())
    if grey == 13:
        raise InputError("the process with mediapipe was ended by signal 9; it was started again")
    (frame,) = undetected(1)
    frame[[*RIGHT_HAND, *POSE]] = grey / 255
    return frame


def best(clip: np.ndarray) -> list[tuple[str, float]]:
    if len(clip) == 6:
        raise InputError("model.tflite: expected a file that TFLite runs")
    return [(f"{len(clip)} frames", float(clip[0, POSE[0], 0])), ("other", 0.1)]


def save_video(path, jpegs, fps):
    if len(jpegs) == 7:
        raise InputError("the process with mediapipe gave no answer; it was started again")
    path.write_bytes(b"".join(jpegs))


BROWSERS: list[WebSocketClientConnection] = []  # to be closed


@asynccontextmanager
async def running(folder):
    live = Live(landmarks, save_video, best, folder / "mine", "3 signs")
    http = listen(live, 0)
    try:
        yield live
    finally:
        while BROWSERS:
            BROWSERS.pop().close()
        http.stop()
        await http.close_all_connections()
        live.thread.shutdown()


async def connected(live: Live, token: str = "", origin: str = "") -> WebSocketClientConnection:
    token, origin = token or live.token, origin or f"http://127.0.0.1:{live.port}"
    headers = {} if origin == "none" else {"Origin": origin}
    url = f"ws://127.0.0.1:{live.port}/live?token={token}"
    BROWSERS.append(await websocket_connect(HTTPRequest(url, headers=headers)))
    return BROWSERS[-1]


async def greeted(live: Live) -> WebSocketClientConnection:
    browser = await connected(live)
    assert (await heard(browser))["kind"] == "hello"
    return browser


async def ask(browser: WebSocketClientConnection, message: bytes | dict) -> dict:
    is_picture = isinstance(message, bytes)
    await browser.write_message(message if is_picture else json.dumps(message), is_picture)
    return await heard(browser)


async def heard(browser: WebSocketClientConnection) -> dict | None:
    text = await asyncio.wait_for(browser.read_message(), 10)
    return None if text is None else json.loads(text)


async def tell(browser: WebSocketClientConnection, **message: object) -> None:
    await browser.write_message(json.dumps(message))


def live_test(test):
    """Run a coroutine of the running server, and of a browser if it takes one, as a test."""
    takes_browser = "browser" in signature(test).parameters

    def run(tmp_path):
        async def main():
            async with running(tmp_path) as live:
                await (test(live, await greeted(live)) if takes_browser else test(live))

        asyncio.run(main())

    return run


# --- who may come -------------------------------------------------------------------------------


@live_test
async def test_the_page_needs_the_token_and_its_own_name(live):
    get = AsyncHTTPClient().fetch
    page = await get(live.address)
    assert b"page.js" in page.body
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    bare = f"http://127.0.0.1:{live.port}"
    for path in ("page.js", "page.css"):
        assert (await get(f"{bare}/{path}")).code == 200
    for url, headers in [
        (f"{bare}/", {}),
        (f"{bare}/?token=wrong", {}),
        (f"{bare}/?token=%ff", {}),
        (live.address, {"Host": "evil.example"}),
        (f"{bare}/page.js", {"Host": f"evil.example:{live.port}"}),
    ]:
        with pytest.raises(HTTPClientError) as refused:
            await get(url, headers=headers)
        assert refused.value.code in (400, 403), url
        assert b"connect" not in refused.value.response.body
    with pytest.raises(HTTPClientError, match="404"):
        await get(f"{bare}/../server.py?token={live.token}")


@live_test
async def test_the_websocket_needs_the_token_and_the_pages_origin(live):
    for given in (
        {"token": "wrong"}, {"origin": "none"}, {"origin": "http://evil.example"},
        {"origin": f"https://127.0.0.1:{live.port}"}, {"origin": "null"},
    ):  # fmt: skip
        with pytest.raises(HTTPClientError, match="403"):
            await connected(live, **given)
    hello = await heard(await connected(live))
    assert hello["kind"] == "hello" and hello["title"] == "3 signs"


@live_test
async def test_it_listens_on_this_machine_alone(live):
    with open("/proc/net/tcp") as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert f"0100007F:{live.port:04X}" in listening and f"00000000:{live.port:04X}" not in listening


@live_test
async def test_a_second_browser_gets_one_sentence_and_the_next_one_the_place(live, browser):
    second = await connected(live)
    assert await heard(second) == {"kind": "refused", "text": BUSY}
    assert await heard(second) is None
    assert (await ask(browser, jpeg()))["kind"] == "frame"
    browser.close()
    while live.browser:
        await asyncio.sleep(0.01)
    await greeted(live)


# --- what may come ------------------------------------------------------------------------------

HUGE = jpeg().replace(b"\x00\x30\x00\x40", b"\xff\xff\xff\xff")  # its header says 65,535 x 65,535
HOSTILE = [
    (b"", "expected a JPEG picture"),
    (os.urandom(5000), "expected a JPEG picture"),
    (jpeg()[:40], "expected a JPEG picture"),
    (b"\x89PNG\r\n\x1a\n" + bytes(50), "expected a JPEG picture"),
    (HUGE, "expected a"),
    (jpeg(size=(641, 480)), "at most 640 x 480, found 641 x 480"),
    (bytes(MOST_BYTES + 1), "at most 1,000,000 bytes, found 1,000,001"),
    ({"kind": "quit"}, "expected a message of the page"),
    ({"kind": "settings", "way": "feet", "record": True}, "expected a message of the page"),
    ({"kind": "keep", "sign": 7, "signer": [], "video": 0}, "expected a message of the page"),
    ({"kind": "x" * 20_000}, "at most 10,000 characters"),
]


@live_test
async def test_what_cannot_be_taken_is_answered_by_one_sentence(live, browser):
    for message, sentence in HOSTILE:
        said = await ask(browser, message)
        assert said["kind"] == "notice" and sentence in said["text"], (message[:50], said)
        assert said["frame"] is isinstance(message, bytes) and "\n" not in said["text"]
    for text in ("no json", "[" * 9_000, "\ud7ff", "null", '{"kind": "keep"}'):
        await browser.write_message(text)
        assert "expected" in (await heard(browser))["text"], text[:9]
    assert (await ask(browser, jpeg(100)))["xy"][2 * POSE[0]] == round(100 / 255 * 10_000)


@live_test
async def test_a_message_beyond_all_bounds_ends_its_connection_alone(live, browser):
    with suppress(WebSocketClosedError):  # mostly it is closed before all is written
        await browser.write_message(bytes(server.MOST_MESSAGE + 1), binary=True)
    assert await heard(browser) is None
    while live.browser:
        await asyncio.sleep(0.01)
    await greeted(live)


@live_test
async def test_hundreds_of_connections_are_bounded_and_leave_the_browser_alone(live, browser):
    crowd = []
    for number in range(400):  # more than the bound, fewer than a process may have
        crowd.append(socket.create_connection(("127.0.0.1", live.port)))
        crowd[-1].sendall(b"GET / HTT" if number % 2 else os.urandom(100))
        if number % 50 == 0:
            assert (await ask(browser, jpeg()))["kind"] == "frame"
    assert len(os.listdir("/proc/self/fd")) < 400 + CONNECTIONS + 100
    for one in crowd:
        one.close()
    await asyncio.sleep(0.1)
    assert (await AsyncHTTPClient().fetch(live.address)).code == 200
    assert (await ask(browser, jpeg()))["kind"] == "frame"


@live_test
async def test_a_killed_mediapipe_is_said_and_the_next_picture_is_answered(live, browser):
    said = await ask(browser, jpeg(13))
    assert said == {"kind": "notice", "frame": True, "text": (
        "the process with mediapipe was ended by signal 9; it was started again")}  # fmt: skip
    assert (await ask(browser, jpeg()))["kind"] == "frame"


# --- signs --------------------------------------------------------------------------------------


async def sign(browser: WebSocketClientConnection, *greys: int) -> dict:
    """Sign while the key is held; returns the answer."""
    await tell(browser, kind="press")
    for grey in greys:
        frame = await ask(browser, jpeg(grey))
    assert frame["state"] == "signing" and frame["frames"] == len(greys)
    return await ask(browser, {"kind": "release"})


@live_test
async def test_the_answer_comes_when_the_key_is_let_go(live, browser):
    await ask(browser, jpeg(200))  # before the key: not of the sign
    said = await sign(browser, 51, 60, 70, 80, 90)
    assert said == {"kind": "answer", "frames": 5, "final": True, "waiting": False,
                    "best": [["5 frames", pytest.approx(0.2)], ["other", 0.1]]}  # fmt: skip
    assert "too short" in (await sign(browser, 51))["text"]


@live_test
async def test_a_kept_clip_is_in_a_folder_that_notebook_01_reads(live, browser):
    await tell(browser, kind="settings", way="key", record=True)
    who = {"kind": "keep", "sign": "thank you", "signer": "Zoë", "video": True}
    assert "no clip to keep" in (await ask(browser, who))["text"]
    assert (await sign(browser, 10, 20, 30, 40))["waiting"]
    for bad in ("", " ", "..", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", "-x", "x" * 61, "a."):
        for field in ("sign", "signer"):
            assert "expected the name of a" in (await ask(browser, who | {field: bad}))["text"]
    kept = await ask(browser, who)
    assert kept["kind"] == "kept" and "Kept thank you by Zoë: " in kept["text"]
    await sign(browser, 50, 60, 70, 80, 90)
    assert (await ask(browser, {"kind": "discard"}))["text"] == "Discarded."
    await sign(browser, 50, 60, 70, 80, 90)
    await ask(browser, who | {"sign": "hello", "video": False})

    index = competition.read_index(live.to)
    assert index[["participant", "sign", "label"]].values.tolist() == [
        ["Zoë", "thank you", 1], ["Zoë", "hello", 0],
    ]  # fmt: skip
    np.testing.assert_array_equal(
        read_clip(index.path[0]), np.stack([landmarks(jpeg(grey)) for grey in (10, 20, 30, 40)])
    )
    (video,) = live.to.rglob("*.mp4")
    assert str(video) == index.path[0].replace(".parquet", ".mp4")
    assert video.read_bytes() == b"".join(jpeg(grey) for grey in (10, 20, 30, 40))


@live_test
async def test_a_picture_is_answered_once_whatever_becomes_of_its_sign(live, browser):
    """The page counts the pictures under way: one more answer, and it would draw the wrong one."""
    await tell(browser, kind="settings", way="hands", record=False)
    (up,), (gone,) = undetected(1), undetected(1)
    up[[*RIGHT_HAND]] = 0.5  # without shoulders a hand is up
    for frame in (*[up] * 6, gone):
        live.landmarks = partial(lambda frame, picture: frame, frame)
        assert (await ask(browser, jpeg()))["kind"] == "frame"
    said = await heard(browser)
    assert "that TFLite runs" in said["text"] and said["frame"] is False


@live_test
async def test_a_clip_that_is_kept_without_its_video_is_said_to_be_kept(live, browser):
    await tell(browser, kind="settings", way="key", record=True)
    await sign(browser, *range(10, 80, 10))
    said = await ask(browser, {"kind": "keep", "sign": "hi", "signer": "ann", "video": True})
    assert said["kind"] == "kept" and "Kept hi by ann: " in said["text"]
    assert "without its video: the process with mediapipe gave no answer" in said["text"]
    (path,) = live.to.rglob("*.parquet")
    assert len(read_clip(path)) == 7 and not [*live.to.rglob("*.mp4")]


def test_names_of_every_script_are_taken_and_an_accent_has_one_spelling():
    for name in ("नमस्ते", "สวัสดี", "שָׁלוֹם", "مرحبا", "你好", "Zoë (2)", "a"):
        assert plain_name("sign", f" {name} ") == name
    assert plain_name("signer", unicodedata.normalize("NFD", "Zoë")) == "Zoë"


@live_test
async def test_if_a_clip_cannot_be_kept_it_goes_on_waiting(live, browser):
    live.to.mkdir()
    (live.to / "train.csv").write_text("path,who\n")
    await tell(browser, kind="settings", way="key", record=True)
    await sign(browser, 10, 20, 30, 40)
    who = {"kind": "keep", "sign": "hi", "signer": "ann", "video": False}
    assert "expected the columns" in (await ask(browser, who))["text"]
    (live.to / "train.csv").unlink()
    assert (await ask(browser, who))["kind"] == "kept"


@live_test
async def test_a_taken_port_is_said(live):
    with pytest.raises(InputError, match="choose another by --port"):
        listen(live, live.port)
    with pytest.raises(InputError, match="port 99999: expected 0 to 65535; choose"):
        listen(live, 99_999)
