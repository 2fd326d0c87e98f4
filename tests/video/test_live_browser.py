"""The live page in a real browser, by keyboard, then by mouse; its camera plays the drawn signer.

One visit is made and noted; skipped without Chromium or without the environment with mediapipe.
"""

import asyncio
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from src.dataset import competition
from src.landmarks import ARMS, FACE, N_LANDMARKS, RIGHT_HAND
from src.tflite.converter.convert import convert
from src.tflite.scorer import Model, load_frames
from src.video.predict import top
from tests.tflite.lengths import module_of
from tests.video.browser import CHROMIUM, Tab
from tests.video.conftest import SIGNS, extract
from tests.video.live_page import MOVES, page, scene
from tests.video.test_mediapipe import encode

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="needs chromium")]
CONTRAST = """
[...document.querySelectorAll("body *")].filter((e) => [...e.childNodes].some(
  (n) => n.nodeType === 3 && n.data.trim())).map((e) => {
  const light = (css) => {
    const [r, g, b] = css.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = e, of = (n) => getComputedStyle(n).backgroundColor;
  while (behind.parentElement && of(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const [a, b] = [light(getComputedStyle(e).color), light(of(behind))].sort((x, y) => y - x);
  return [e.textContent.trim(), (a + 0.05) / (b + 0.05)];
})"""  # WCAG 2.2, relative luminance and contrast ratio
ALL = sum(map(len, MOVES))  # pictures
NOTICE = "$('notice').textContent"


def answer(inputs: tf.Tensor) -> tf.Tensor:
    """Logits of six signs that depend on every landmark."""
    seen = tf.where(tf.math.is_nan(inputs), tf.zeros_like(inputs), inputs)
    weights = np.random.default_rng(0).normal(size=(N_LANDMARKS * 3, 6)).astype(np.float32)
    mean = tf.reshape(tf.reduce_mean(seen, 0), (1, N_LANDMARKS * 3))
    return tf.reshape(tf.matmul(mean, tf.constant(weights)), (6,)) / 20


async def tab_to(tab: Tab, name: str) -> None:
    for _ in range(20):
        await tab.key("Tab")
        if await tab.value("document.activeElement.id") == name:
            return
    raise AssertionError(f"{name} cannot be reached by Tab")


async def look(tab: Tab, noted: dict) -> None:
    """What can be read, named and reached, before anything is started."""
    noted["contrast"] = await tab.value(CONTRAST)
    noted["tree"] = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
    noted["order"], noted["outlines"] = [], []
    for _ in range(9):
        await tab.key("Tab")
        noted["order"] += [await tab.value("document.activeElement.id || 'way'")]
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        noted["outlines"] += [await tab.value(outline)]


async def press(tab: Tab, name: str) -> None:
    await tab_to(tab, name)
    await tab.key(" ")


async def start(tab: Tab) -> None:
    await press(tab, "start")
    await tab.until(f"{NOTICE}.startsWith('Connected')")


async def record(tab: Tab, noted: dict) -> None:
    """Name a sign and a signer, sign while space is held, keep the clip and its video."""
    for field in ("sign", "signer"):
        await tab_to(tab, field)
        await tab.call("Input.insertText", text=f"my {field}")
        await tab.key(" ")  # types a space: it does not sign
    await press(tab, "record")
    await press(tab, "keepvideo")
    await tab_to(tab, "hold")
    await tab.key(" ", down=True)
    # All that the camera plays, however fast the machine is.
    await tab.until(f"$('state').textContent.split('signing, ')[1] >= {ALL}", 60)
    await tab.key(" ", down=False)
    await tab.until("$('state').textContent === 'keep or discard?'")
    noted["bars"] = await tab.value("[...$('bars').children].map((row) => row.innerText)")
    noted["answer"] = await tab.value("$('answer').textContent")
    noted["time"] = await tab.value("$('time').textContent")
    await press(tab, "keep")
    noted["kept"] = await tab.until(f"{NOTICE}.startsWith('Kept') && {NOTICE}")


async def sign_by_hands(tab: Tab, noted: dict) -> None:
    """Without recording, and without a key."""
    await press(tab, "record")
    await tab.value("$('answer').textContent = ''")
    await tab.key("Tab", shift=True)
    await tab.key("ArrowDown")
    noted["way"] = await tab.value("way()")
    noted["by hands"] = await tab.until("$('answer').textContent", 40)


async def click(tab: Tab, noted: dict) -> None:
    """By the mouse; then hold space."""
    noted["space"] = []
    for name in ("start", "record"):
        await tab.click(name)
        await tab.until("socket && socket.readyState === WebSocket.OPEN")
        await tab.key(" ", down=True)
        noted["space"] += [await tab.value("[down, $('record').checked]")]
        await tab.key(" ", down=False)


async def visit(folder: Path, model: Model) -> dict:
    """Use the page by the keyboard alone, then break what can break; start again by the mouse."""
    noted: dict = {}
    best = partial(top, model, signs=SIGNS)
    async with page(folder, best, "6 signs") as (tab, live, mediapipe):
        await tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
        await look(tab, noted)
        await start(tab)
        await record(tab, noted)
        await sign_by_hands(tab, noted)

        os.kill(mediapipe.process.pid, 9)
        noted["killed"] = await tab.until(f"{NOTICE}.includes('started again') && {NOTICE}")
        await tab.until("last > performance.now() - 500")
        await tab.value("stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
        noted["camera"] = await tab.value(NOTICE)
        noted["running"] = await tab.value("video.srcObject !== null")
        await click(tab, noted)
        live.browser.close()  # as when the server's process ends
        noted["server"] = await tab.until(f"{NOTICE}.includes('ended') && {NOTICE}")
    return noted


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(convert(module_of(answer), "fp32"))
    return Model(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def noted(mediapipe, folder, model) -> dict:
    return asyncio.run(visit(folder, model))


@pytest.fixture(scope="module")
def kept(noted, folder) -> Path:
    """The one clip that was kept."""
    (clip,) = (folder / "mine").rglob("*.parquet")
    return clip


# --- what the signer gets -----------------------------------------------------------------------


def test_the_clip_is_kept_with_its_names_and_its_video(noted, folder, kept):
    assert noted["kept"] == f"Kept my sign by my signer: {kept}"
    index = competition.read_index(folder / "mine", {"my sign": 0, "another": 1})
    assert index[["participant", "sign"]].values.tolist() == [["my signer", "my sign"]]
    assert kept.with_suffix(".mp4").is_file() and len(load_frames(kept)) >= ALL


def test_the_answer_is_what_predict_says_of_the_kept_clip(noted, kept, model):
    best = top(model, load_frames(kept), SIGNS)
    shares = [f"{sign}\n{int(100 * share + 0.5)} %" for sign, share in best]
    assert [bar.strip() for bar in noted["bars"]] == shares
    assert noted["answer"] == shares[0].replace("\n", ", ")
    assert noted["time"].startswith(f"{len(load_frames(kept))} pictures; answered ")


def test_landmarks_live_are_those_of_the_file_not_mirrored(kept, mediapipe, folder):
    """Of a lossless file of what the camera plays. Pictures are left out live, so each is compared
    with the frame whose arms are most like it. JPEG and the other history cost 0.004 of the picture
    at the arms and 0.005 at the hand, where two frames in a row are 0.007 and 0.02 apart."""
    pictures = np.stack([scene(up) for up in np.concatenate(MOVES)])
    file = extract(encode(mediapipe, pictures, folder / "lossless.avi")).xyz[..., :2]
    live = load_frames(kept)[..., :2]
    arms = np.abs(live[:, None, list(ARMS)] - file[None, :, list(ARMS)]).mean((2, 3))
    assert np.median(arms.min(1)) < 0.006
    apart = np.abs(live - file[arms.argmin(1)])
    face, hand = (np.nanmedian(apart[:, part]) for part in (FACE, RIGHT_HAND))
    assert face < 0.002
    assert hand < 0.012


def test_the_kept_video_is_the_clip_frame_by_frame(kept):
    live, file = load_frames(kept), extract(kept.with_suffix(".mp4")).xyz
    apart = np.abs(live - file)[:, ARMS, :2].mean((1, 2))
    assert np.median(apart) < 0.007  # it is compressed twice


def test_hands_free_answers_without_a_key(noted):
    assert noted["way"] == "hands" and noted["by hands"].startswith("sign")


def test_after_a_click_of_the_mouse_the_space_bar_signs(noted):
    """It neither starts the camera anew nor takes the tick away, as it does where Tab led."""
    assert noted["space"] == [[True, False], [True, True]]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("killed", "the process with mediapipe was ended by signal 9; it was started again"),
        ("camera", "The camera was lost; plug it in again, then press Start."),
        ("server", "The server has ended; start it again in its terminal and open the address "
                   "that it prints."),
    ],
)  # fmt: skip
def test_what_breaks_is_one_sentence(noted, what, sentence):
    assert noted[what] == sentence
    assert not noted["running"]


# --- who can use it -----------------------------------------------------------------------------


def test_tab_goes_through_the_page_in_order_and_is_seen(noted):
    order = ["start", "hold", "way", "record", "sign", "signer", "keepvideo", "keep", "discard"]
    assert noted["order"] == order
    assert set(noted["outlines"]) == {"solid"}


def test_everything_has_a_name_for_a_screen_reader(noted):
    roles = ("button", "checkbox", "radio", "textbox", "status", "main")
    found = {role: [] for role in roles}
    for node in noted["tree"]:
        if node.get("role", {}).get("value") in roles:
            found[node["role"]["value"]] += [node.get("name", {}).get("value", "")]
    assert found["button"] == ["Start camera", "Hold to sign (space)", "Keep", "Discard"]
    assert found["textbox"] == ["Sign", "Signer"]
    assert len(found["radio"]) == 2 and len(found["checkbox"]) == 2
    assert all(found["radio"] + found["checkbox"])
    # What is said there is read out; the pictures a second are not, twenty times a second.
    assert len(found["status"]) == 1


def test_text_can_be_read(noted):
    assert len(noted["contrast"]) > 15
    assert not [(text, ratio) for text, ratio in noted["contrast"] if ratio < 4.5]
