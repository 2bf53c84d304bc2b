"use strict";
// The page: live picture, boxes by the stamp of the picture shown, a box drawn by hand. The protocol is described in
// pick_server.py. Stamps are BigInt or decimal strings: a ROS time in ns does not fit a JavaScript number.

const COLOURS = { TRACKING: "#50dc3c", UNCERTAIN: "#ffbe00", LOST: "#ff5a50", IDLE: "#8a949c" };
const DRAWING = "#6ab0ff";
const CREDITS = 2;
const CHART_SECONDS = 30;
const TRACKS_KEPT = 200;
const STALLED_MS = 2000;
const BOX_AGE_NS = 1000000000n; // a box this much older than the picture is not shown any more
const HOLD_MS = 150; // how long a picture waits for the tracks of its own image
const SMALLEST_DRAG = 6; // CSS pixels; less is a tap

const $ = (id) => document.getElementById(id);
const [picture, overlay, chart] = [$("picture"), $("overlay"), $("chart")];

let socket = null;
let retryMs = 500;
let shown = null; // {stamp, width, height, bitmap, order, arrived}: the picture on the screen
let waiting = []; // pictures that came after it, at most CREDITS
let received = 0;
let owed = 0; // pictures to ask for: one for each that came and was shown or dropped
let drag = null; // {pointer, start, end, sent}: the picture stands still while this is set
let status = null;
let lastPicture = 0; // performance.now() of arrivals
let lastTracks = 0;
let newestTracks = 0n; // their stamp
let connectedAt = 0;
const arrivals = []; // of pictures, for their rate
const tracksByStamp = new Map(); // decimal stamp -> tracks, in order of arrival
let samples = []; // {t, id, state, confidence} for the chart

// -- from the server

function connect() {
  const address = new URL("ws" + location.search, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    retryMs = 500;
    connectedAt = performance.now();
    for (const { bitmap } of waiting) bitmap.close();
    waiting = [];
    owed = CREDITS;
    payCredits();
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? onText(JSON.parse(data)) : onPicture(data));
  socket.onclose = () => {
    socket = null;
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, 5000);
  };
}

function connected() {
  return socket !== null && socket.readyState === WebSocket.OPEN;
}

function payCredits() {
  for (; owed > 0 && connected(); owed--) socket.send("next");
}

function onText(message) {
  if (message.status) status = message.status;
  for (const image of message.images || []) onTracks(image);
}

async function onPicture(buffer) {
  const [from, order] = [socket, ++received];
  const head = new DataView(buffer, 0, 16);
  const blob = new Blob([new Uint8Array(buffer, 16)], { type: "image/jpeg" });
  const bitmap = await createImageBitmap(blob);
  if (from !== socket) return bitmap.close(); // of a connection that is gone, with its credits
  const [stamp, width, height] = [head.getBigUint64(0, true), head.getUint32(8, true), head.getUint32(12, true)];
  lastPicture = performance.now();
  arrivals.push(lastPicture);
  waiting.push({ stamp, width, height, bitmap, order, arrived: lastPicture });
  waiting.sort((a, b) => a.order - b.order); // decoding may end in another order
  repaint();
  setTimeout(repaint, HOLD_MS + 1);
}

function onTracks({ stamp, tracks }) {
  lastTracks = performance.now();
  const t = Number(stamp) / 1e9;
  const before = samples.length ? samples[samples.length - 1].t : t;
  if (t < before - 0.001) {
    // A recording that starts again.
    tracksByStamp.clear();
    samples = [];
  }
  newestTracks = BigInt(stamp);
  tracksByStamp.set(stamp, tracks);
  if (tracksByStamp.size > TRACKS_KEPT) tracksByStamp.delete(tracksByStamp.keys().next().value);
  for (const { id, state, confidence } of tracks) samples.push({ t, id, state, confidence });
  if (!tracks.length) samples.push({ t, id: "", state: "IDLE", confidence: null });
  while (samples.length && samples[0].t < t - CHART_SECONDS) samples.shift();
  repaint();
}

// -- painting

let painting = false;
function repaint() {
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    paint();
  });
}

function paint() {
  if (!drag) showNewest();
  paintOverlay();
  paintChart();
  if (!drag) payCredits(); // a hidden tab paints nothing, so it asks for nothing
}

function showNewest() {
  const ripe = waiting.filter(isRipe);
  if (!ripe.length) return;
  const next = ripe[ripe.length - 1];
  const done = waiting.splice(0, waiting.indexOf(next) + 1);
  owed += done.length;
  for (const { bitmap } of [shown, ...done].filter((one) => one && one !== next)) bitmap.close();
  shown = next;
  paintPicture();
}

// Whether the tracks of this very image are here, or are not worth waiting for.
function isRipe({ stamp, arrived }) {
  return tracksByStamp.has(stamp.toString()) || newestTracks > stamp || performance.now() - arrived > HOLD_MS;
}

function fit(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  return scale;
}

// Where the picture lies on its canvas: pixels of the canvas to one of the image, and the left and top margins.
function placement() {
  const zoom = Math.min(overlay.width / shown.width, overlay.height / shown.height);
  return { zoom, left: (overlay.width - shown.width * zoom) / 2, top: (overlay.height - shown.height * zoom) / 2 };
}

function paintPicture() {
  fit(picture);
  fit(overlay);
  const { zoom, left, top } = placement();
  const context = picture.getContext("2d");
  context.clearRect(0, 0, picture.width, picture.height);
  context.drawImage(shown.bitmap, left, top, shown.width * zoom, shown.height * zoom);
}

// The tracks of the picture shown or, until they come, of the newest one before it.
function tracksShown() {
  if (!shown) return [];
  const exact = tracksByStamp.get(shown.stamp.toString());
  if (exact) return exact;
  let [best, bestStamp] = [[], shown.stamp - BOX_AGE_NS];
  for (const [stamp, tracks] of tracksByStamp) {
    const value = BigInt(stamp);
    if (value <= shown.stamp && value >= bestStamp) [best, bestStamp] = [tracks, value];
  }
  return best;
}

function paintOverlay() {
  const scale = fit(overlay);
  const context = overlay.getContext("2d");
  context.clearRect(0, 0, overlay.width, overlay.height);
  if (!shown) return;
  const { zoom, left, top } = placement();
  const tracks = tracksShown();
  for (const track of tracks) {
    if (!track.box) continue;
    const [x, y, width, height] = track.box;
    const corner = [left + x * zoom, top + y * zoom];
    context.lineWidth = 2 * scale;
    context.strokeStyle = COLOURS[track.state] || COLOURS.IDLE;
    context.setLineDash(track.state === "TRACKING" ? [] : [8 * scale, 6 * scale]);
    context.strokeRect(...corner, width * zoom, height * zoom);
    if (tracks.length > 1) paintLabel(context, track, corner, scale);
  }
  if (drag) {
    const { x, y, width, height } = dragged();
    context.setLineDash([]);
    context.lineWidth = 2 * scale;
    context.strokeStyle = DRAWING;
    context.fillStyle = "rgba(106, 176, 255, 0.18)";
    context.fillRect(left + x * zoom, top + y * zoom, width * zoom, height * zoom);
    context.strokeRect(left + x * zoom, top + y * zoom, width * zoom, height * zoom);
  }
}

function paintLabel(context, track, [x, y], scale) {
  const text = track.id + (track.confidence === null ? "" : " " + track.confidence.toFixed(2));
  context.font = `${13 * scale}px system-ui, sans-serif`;
  const width = context.measureText(text).width + 10 * scale;
  const above = Math.max(0, y - 22 * scale);
  context.fillStyle = "rgba(15, 18, 20, 0.85)";
  context.fillRect(x, above, width, 20 * scale);
  context.fillStyle = "#fff";
  context.fillText(text, x + 5 * scale, above + 14.5 * scale);
}

function paintChart() {
  const scale = fit(chart);
  const context = chart.getContext("2d");
  const [axis, pad] = [30 * scale, 6 * scale];
  const [width, height] = [chart.width - axis - pad, chart.height - 2 * pad];
  const yOf = (confidence) => pad + (1 - confidence) * height;
  context.clearRect(0, 0, chart.width, chart.height);
  context.font = `${11 * scale}px system-ui, sans-serif`;
  context.lineWidth = scale;
  for (const level of [0, 0.5, 1]) {
    context.fillStyle = "#9aa5ad";
    context.fillText(level.toFixed(1), 2 * scale, yOf(level) + 4 * scale);
    context.strokeStyle = "#343b41";
    context.beginPath();
    context.moveTo(axis, yOf(level));
    context.lineTo(axis + width, yOf(level));
    context.stroke();
  }
  if (!samples.length) return;
  const end = samples[samples.length - 1].t;
  const xOf = (t) => axis + width * (1 - (end - t) / CHART_SECONDS);
  context.lineWidth = 2 * scale;
  context.lineJoin = "round";
  const last = new Map(); // by id
  for (const sample of samples) {
    const before = last.get(sample.id);
    last.set(sample.id, sample);
    if (!before || sample.confidence === null || before.confidence === null || sample.t - before.t > 1) continue;
    context.strokeStyle = COLOURS[sample.state] || COLOURS.IDLE;
    context.beginPath();
    context.moveTo(xOf(before.t), yOf(before.confidence));
    context.lineTo(xOf(sample.t), yOf(sample.confidence));
    context.stroke();
  }
}

// -- drawing a box

function imagePoint(event) {
  const scale = window.devicePixelRatio || 1;
  const area = overlay.getBoundingClientRect();
  const { zoom, left, top } = placement();
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  return {
    x: clamp(((event.clientX - area.left) * scale - left) / zoom, shown.width),
    y: clamp(((event.clientY - area.top) * scale - top) / zoom, shown.height),
  };
}

function dragged() {
  const { start, end } = drag;
  return {
    x: Math.min(start.x, end.x),
    y: Math.min(start.y, end.y),
    width: Math.abs(end.x - start.x),
    height: Math.abs(end.y - start.y),
  };
}

overlay.addEventListener("pointerdown", (event) => {
  if (drag || !shown || !event.isPrimary || event.button !== 0) return;
  overlay.setPointerCapture(event.pointerId);
  const start = imagePoint(event);
  drag = { pointer: event.pointerId, start, end: start, sent: false };
  $("hint").hidden = true;
  answer("The picture stands still while you draw.", "");
  event.preventDefault();
});

overlay.addEventListener("pointermove", (event) => {
  if (!drag || drag.sent || event.pointerId !== drag.pointer) return;
  drag.end = imagePoint(event);
  repaint();
});

overlay.addEventListener("pointerup", (event) => {
  if (!drag || drag.sent || event.pointerId !== drag.pointer) return;
  drag.end = imagePoint(event);
  const box = dragged();
  const cssPixels = placement().zoom / (window.devicePixelRatio || 1);
  if (Math.min(box.width, box.height) * cssPixels < SMALLEST_DRAG) return cancel("Drag a box around the target.");
  sendBox(box);
});

overlay.addEventListener("pointercancel", () => drag && !drag.sent && cancel("The box was not sent."));
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && drag && !drag.sent) cancel("The box was not sent.");
});

function cancel(text) {
  answer(text, "");
  goOn();
}

// The picture moves again; those that came while it stood still are old.
function goOn() {
  drag = null;
  owed += waiting.length;
  for (const { bitmap } of waiting) bitmap.close();
  waiting = [];
  lastPicture = performance.now();
  repaint();
}

async function sendBox(box) {
  drag.sent = true;
  answer("Asking the tracker …", "");
  await command("api/set_target", { stamp: shown.stamp.toString(), ...box, target_id: $("target").value });
  goOn();
}

async function command(path, body) {
  try {
    const response = await fetch(new URL(path + location.search, location.href), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    const { success, message } = text.startsWith("{") ? JSON.parse(text) : { success: false, message: text };
    answer(success ? message : "Refused: " + message, success ? "good" : "bad");
  } catch (error) {
    answer("The server does not answer: " + error.message, "bad");
  }
}

function answer(text, kind) {
  $("answer").textContent = capitalised(text);
  $("answer").className = kind;
}

function capitalised(text) {
  return text && text[0].toUpperCase() + text.slice(1);
}

$("reset").addEventListener("click", async () => {
  $("reset").disabled = true;
  await command("api/reset", {});
  $("reset").disabled = false;
});

// -- what the page says about itself

function alarm(now) {
  const silent = now - Math.max(lastPicture, connectedAt);
  const seconds = (silent / 1000).toFixed(0);
  if (!connected()) return ["Disconnected from the robot, trying again", "off"];
  if (silent > STALLED_MS && !drag) {
    return [capitalised((status && status.problem) || `no image for ${seconds} s`), "stalled"];
  }
  if (status && !status.tracker) return [`${status.tracker_name} does not answer: is it running and configured?`, "stalled"];
  if (now - Math.max(lastTracks, connectedAt) > STALLED_MS) return ["Images come, but no tracks: is the tracker active?", "stalled"];
  return ["", "live"];
}

function tick() {
  const now = performance.now();
  const [text, kind] = alarm(now);
  $("alarm").hidden = !text;
  $("alarm").textContent = text;
  $("alarm").className = kind === "stalled" ? "warning" : "";
  $("link").className = kind;
  $("link").textContent = { off: "disconnected", stalled: "stalled", live: "live" }[kind];
  while (arrivals.length && arrivals[0] < now - 2000) arrivals.shift();
  $("rate").textContent = `${(arrivals.length / 2).toFixed(0)}/s`;
  const fresh = kind === "live";
  const tracks = fresh && tracksByStamp.size ? [...tracksByStamp.values()].pop() : [];
  const wanted = $("target").value;
  const track = tracks.find(({ id }) => id === wanted) || tracks[0];
  const state = track ? track.state : fresh ? "IDLE" : "…";
  $("state").textContent = state;
  $("state").className = "pill " + state;
  $("confidence").textContent = track && track.confidence !== null ? track.confidence.toFixed(2) : "–";
  $("latency").textContent = track && track.latency_ms !== null ? `${track.latency_ms.toFixed(0)} ms` : "–";
  $("size").textContent = shown ? `${shown.width} × ${shown.height}` : "–";
}

for (const [name, kind] of [["tracking", "t"], ["uncertain", "u"], ["lost", "l"]]) {
  const entry = document.createElement("span");
  [entry.className, entry.textContent] = [kind, name];
  $("legend").append(entry);
}
window.addEventListener("resize", () => {
  if (shown) paintPicture();
  repaint();
});
setInterval(tick, 250);
connect();
