// The live page. It sends pictures of the camera, not mirrored, and shows what the server answers.
// At most IN_FLIGHT pictures are unanswered, so a slow server gets fewer pictures, not a queue.
"use strict";

const WIDTH = 640, HEIGHT = 480, QUALITY = 0.85, IN_FLIGHT = 2;
const COLOURS = { face: "#d0d0d0", left_hand: "#1f77b4", pose: "#2ca02c", right_hand: "#d62728" };
const $ = (id) => document.getElementById(id);
const video = $("video"), lines = $("lines").getContext("2d");

let socket = null, stream = null, edges = {}, state = "idle", down = false;
let unanswered = [];             // the pictures under way: {time in milliseconds, canvas}
let spare = [];                  // canvases for more of them
let last = 0;                    // when the last answered picture was taken
let answered = [];               // when the last pictures were answered
let queue = Promise.resolve();   // keeps pictures and words in the order in which they came

function say(text) { $("notice").textContent = text; }

function send(part) {
  const to = socket;
  queue = queue.then(async () => {
    const data = await part;
    if (to && to.readyState === WebSocket.OPEN) to.send(data);
  });
}
const tell = (kind, more = {}) => send(JSON.stringify({ kind, ...more }));

// --- camera ------------------------------------------------------------------------------------

const REFUSED = {
  NotAllowedError: "The browser may not use the camera; allow it beside the address, then press Start.",
  NotFoundError: "There is no camera; plug one in, then press Start.",
  NotReadableError: "Another program uses the camera; close it there, then press Start.",
};

async function start() {
  stop();
  try {
    stream = await navigator.mediaDevices.getUserMedia(
      { audio: false, video: { width: WIDTH, height: HEIGHT, frameRate: 30, facingMode: "user" } });
  } catch (error) {
    say(REFUSED[error.name] || `The camera does not open (${error.message}); press Start to try again.`);
    return;
  }
  stream.getVideoTracks()[0].onended = () => {
    stop("The camera was lost; plug it in again, then press Start.");
  };
  video.srcObject = stream;
  await video.play();
  connect();
}

function stop(why) {
  if (stream) stream.getTracks().forEach((track) => { track.onended = null; track.stop(); });
  if (socket) { socket.onclose = null; socket.close(); }
  stream = socket = video.srcObject = null;
  unanswered = [];
  show({ state: "camera off", frames: 0 });
  lines.clearRect(0, 0, lines.canvas.width, lines.canvas.height);
  if (why) say(why);
}

// Setting the size of a canvas empties and reallocates it, so it is only set when it changes.
function resize(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

const next = (call) => video.requestVideoFrameCallback
  ? video.requestVideoFrameCallback(call) : requestAnimationFrame(call);

function take(current) {
  if (!stream || socket !== current) return;
  if (socket.readyState === WebSocket.OPEN && unanswered.length < IN_FLIGHT && video.videoWidth) {
    const scale = Math.min(1, WIDTH / video.videoWidth, HEIGHT / video.videoHeight);
    const canvas = spare.pop() || document.createElement("canvas");
    resize(canvas, Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
    canvas.getContext("2d", { willReadFrequently: true, alpha: false })
      .drawImage(video, 0, 0, canvas.width, canvas.height);
    unanswered.push({ time: performance.now(), canvas });
    send(new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY)));
  }
  next(() => take(current));
}

// --- server ------------------------------------------------------------------------------------

// A page that was just left or reloaded may still be the server's browser for a moment.
function connect(tries = 5) {
  const current = socket = new WebSocket(`ws://${location.host}/live${location.search}`);
  let refused = false;
  socket.onmessage = ({ data }) => {
    if (socket !== current) return;
    const message = JSON.parse(data);
    if (message.kind === "refused" && tries > 1) {
      socket.onclose = null;
      setTimeout(() => { if (stream && socket === current) connect(tries - 1); }, 400);
      return;
    }
    refused ||= message.kind === "refused";
    heard[message.kind](message);
  };
  socket.onclose = ({ reason }) => {
    stop(refused ? "" : reason ? `The server closed the connection: ${reason}; press Start.`
      : "The server has ended; start it again in its terminal and open the address that it prints.");
  };
  socket.onopen = () => { settings(); next(() => take(current)); };
}

const heard = {
  hello({ title, to, edges: given }) {
    edges = given;
    $("title").textContent = title;
    $("to").textContent = to;
    say("Connected. Sign, while you hold the space bar or hands-free.");
  },
  frame(message) {
    const { time, canvas } = unanswered.shift();
    last = time;
    answered = [...answered, performance.now()].slice(-41);
    const seconds = (answered.at(-1) - answered[0]) / 1000;
    $("rate").textContent = seconds ? Math.round((answered.length - 1) / seconds) : 0;
    draw(canvas, message.xy);
    spare.push(canvas);
    show(message);
  },
  answer({ best, frames, final, waiting }) {
    const per = (share) => `${Math.round(100 * share)} %`;
    $("bars").replaceChildren(...best.map(([sign, share]) => {
      const row = document.createElement("li"), bar = document.createElement("i");
      for (const text of [sign, per(share)]) {
        row.appendChild(document.createElement("span")).textContent = text;
      }
      bar.style.width = `${100 * share}%`;
      row.append(bar);
      return row;
    }));
    $("time").textContent =
      `${final ? "" : "so far: "}${frames} pictures; answered ${Math.round(performance.now() - last)} ms after the last one`;
    if (!final) return;
    $("answer").textContent = `${best[0][0]}, ${per(best[0][1])}`;
    if (waiting) { show({ state: "waiting", frames }); say("Keep or discard this sign."); }
  },
  kept({ text }) { show({ state: "idle", frames: 0 }); say(text); },
  notice({ text, frame }) {
    if (frame) unanswered.shift();
    say(text);
  },
  refused({ text }) { say(text); },
};

function show({ state: now, frames }) {
  state = now;
  const words = { idle: "ready", signing: `signing, ${frames}`, waiting: "keep or discard?" };
  $("state").textContent = words[state] || state;
  $("state").className = state;
  for (const id of ["keep", "discard"]) $(id).setAttribute("aria-disabled", state !== "waiting");
}

// Landmarks are drawn over the picture in which they were found, not over a later one.
function draw(picture, xy) {
  const { canvas } = lines;
  resize(canvas, picture.width, picture.height);
  lines.drawImage(picture, 0, 0);
  const at = (k) => [xy[2 * k] * canvas.width / 1e4, xy[2 * k + 1] * canvas.height / 1e4];
  for (const [part, pairs] of Object.entries(edges)) {
    lines.strokeStyle = COLOURS[part];
    lines.lineWidth = part === "face" ? 1 : 3;
    lines.beginPath();
    for (const [a, b] of pairs) {
      if (xy[2 * a] === null || xy[2 * b] === null) continue;
      lines.moveTo(...at(a));
      lines.lineTo(...at(b));
    }
    lines.stroke();
  }
}

// --- what the signer does ----------------------------------------------------------------------

const way = () => document.querySelector("input[name=way]:checked").value;

function settings() {
  tell("settings", { way: way(), record: $("record").checked });
}

function hold(pressed) {
  if (pressed === down) return;
  down = pressed;
  $("hold").classList.toggle("down", down);
  if (down && way() !== "key") say("Signs are found hands-free now; choose the other way to hold a key.");
  tell(down ? "press" : "release");
}

// The space bar holds, unless it has another meaning where the focus is.
const holds = ({ key, target }) =>
  key === " " && (target === $("hold") || !target.closest("button, input"));
addEventListener("keydown", (event) => {
  if (!holds(event)) return;
  event.preventDefault();
  if (!event.repeat) hold(true);
});
addEventListener("keyup", (event) => { if (event.key === " " && down) { event.preventDefault(); hold(false); } });
addEventListener("blur", () => hold(false));
// After Tab the space bar works the focused button or box; after a mouse click it signs again.
addEventListener("click", ({ detail, target }) => {
  if (detail && target.closest("button, [type]")) document.activeElement.blur();
});
$("hold").addEventListener("pointerdown", (event) => {
  $("hold").setPointerCapture(event.pointerId);
  hold(true);
});
for (const end of ["pointerup", "pointercancel"]) $("hold").addEventListener(end, () => hold(false));

$("start").addEventListener("click", start);
for (const id of ["ways", "record"]) $(id).addEventListener("change", settings);
$("keep").addEventListener("click", () => {
  tell("keep", {
    sign: $("sign").value, signer: $("signer").value, video: $("keepvideo").checked,
  });
});
$("discard").addEventListener("click", () => tell("discard"));
