"""The live page in headless Chromium, whose camera plays the drawn signer; also measured:

.venv/bin/python -m tests.video.live_page [--run logs/sample] [--seconds 180] [--picture FILE.png]
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import tyro

from src.clips import RawClip
from src.video import drawn
from src.video.__main__ import _model
from src.video.live.server import Live, listen
from src.video.predict import top
from src.video.process import MediaPipe
from tests.video.browser import Tab, opened, write_camera

FPS = 30
# The right hand is drawn, which is in red.
RED = """/signing, ..$/.test($('state').textContent) && lines.getImageData(0, 0, 640, 300)
  .data.some((red, k, all) => k % 4 === 0 && red > 200 && all[k + 1] < 60)"""
# The right arm rests, goes up, waves, and comes down again: three and a half seconds.
MOVES = (np.zeros(25), np.linspace(0, 1, 15), 0.8 + 0.2 * np.cos(np.arange(45) / 4), np.zeros(20))


def figure(up: float) -> np.ndarray:
    """(480, 480, 3) uint8: the signer facing us, the right arm (left for us) raised by 0 to 1."""
    return drawn.picture((115 - 10 * up, 430 - 260 * up))


def scene(up: float) -> np.ndarray:
    """(480, 640, 3) uint8: the figure in the middle of what a camera sees."""
    return np.pad(figure(up), ((0, 0), (80, 80), (0, 0)), "edge")


@asynccontextmanager
async def page(
    folder: Path, best: Callable[[RawClip], list[tuple[str, float]]], title: str
) -> AsyncIterator[tuple[Tab, Live, MediaPipe]]:
    """The page in a browser, camera off; clips go to folder/mine."""
    mediapipe = MediaPipe(live=True)
    live = Live(mediapipe.landmarks, mediapipe.save_video, best, folder / "mine", title)
    server = listen(live, 0)
    camera = write_camera(folder / "camera.y4m", map(scene, np.concatenate(MOVES)), FPS)
    try:
        async with opened(folder / "browser", camera) as tab:
            await tab.call("Page.navigate", url=live.address)
            await tab.until("document.readyState === 'complete'")
            yield tab, live, mediapipe
    finally:
        server.stop()
        await server.close_all_connections()
        await asyncio.sleep(0.2)  # a picture may be under way
        live.thread.shutdown()
        mediapipe.close()


def _cpu(processes: list[psutil.Process]) -> float:
    """Seconds of processor time so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def measure(run: str, seconds: float, shot: str) -> None:
    """Print pictures a second, the time to the answer, processor time, and what memory becomes."""
    model, numbers = _model(run, "", "")
    waits, rates, told, step = [], [], "", 0.2
    best = partial(top, model, signs=numbers)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        title = f"{len(numbers)} signs of {run}"
        async with page(Path(folder), best, title) as (tab, _, mediapipe):
            await tab.value("$('start').click()")
            await tab.until("$('title').textContent.includes('signs of')")
            await tab.value("document.querySelector('[value=hands]').click()")
            await asyncio.sleep(5)
            server = psutil.Process()
            processes = [server, *server.children(recursive=True)]
            before = _cpu(processes)
            for number in range(round(seconds / step)):
                await asyncio.sleep(step)
                text, rate = await tab.value("[$('time').textContent, $('rate').textContent]")
                if text != told:
                    told = text
                    waits.append(int(text.split(" ms")[0].split()[-1]))
                rates.append(int(rate))
                if number % round(30 / step) == 0:
                    memory = [psutil.Process(p).memory_info().rss / 2**20
                              for p in (server.pid, mediapipe.process.pid)]  # fmt: skip
                    print("{:.0f} s: server {:.0f} MiB, mediapipe {:.0f} MiB".format(
                        number * step, *memory), flush=True)  # fmt: skip
            cpu = (_cpu(processes) - before) / (len(rates) * step * np.mean(rates))
            if shot:
                seen = False
                while not seen:  # a hand, before and after the picture is taken
                    await tab.until(RED)
                    image = await tab.screenshot()
                    seen = await tab.value(RED)
                image.quantize(128).save(shot, optimize=True)
    print(f"{np.median(rates):.0f} pictures a second (median; lowest {min(rates)})")
    print(f"answer after {np.median(waits):.0f} ms (median of {len(waits)}; 95th percentile "
          f"{np.percentile(waits, 95):.0f}) from taking the last picture")  # fmt: skip
    print(f"processor: {1000 * cpu:.0f} ms a picture, of which two cores have 100 at 20 a second")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def main(run: str = "logs/sample", seconds: float = 30, picture: str = "") -> None:
    """Measure the live page on this machine.

    Args:
        run: the run's folder, for its model.
        seconds: how long.
        picture: where to save a screenshot.
    """
    asyncio.run(measure(run, seconds, picture))


if __name__ == "__main__":
    tyro.cli(main)
