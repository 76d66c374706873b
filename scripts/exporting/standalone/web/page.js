// The page: choosing an image, having it translated by engine.js, and showing it with compare.js.

import { after, before, fit, reveal } from "./compare.js";
import { Engine } from "./engine.js";
import { setFact, showFacts } from "./facts.js";

const $ = (id) => document.getElementById(id);
const stage = $("stage");
const context = { willReadFrequently: true };

let config, engine, ready; // `ready`: a promise of the engine's facts
let direction, name = "image", timer, job = 0, secondsPerPixel = null;

// What is shown on the stage: empty, notice, work or done.
function setStage(state, status = "") {
  stage.dataset.state = state;
  clearInterval(timer);
  $("download").hidden = state !== "done";
  $("choose").classList.toggle("main", state === "empty" || (state === "notice" && $("shrink").hidden));
  $("download").classList.toggle("main", state === "done");
  $("choose").textContent = state === "done" || state === "work" ? "New image" : "Choose an image";
  $("status").textContent = status;
}

function showNotice(text, shrink = null) {
  $("notice").textContent = text;
  $("shrink").hidden = !shrink;
  if (shrink) {
    $("shrink").textContent = `Shrink it to ${shrink.width} × ${shrink.height} and translate`;
    $("shrink").onclick = shrink.action;
  }
  setStage("notice");
  if (shrink) $("shrink").focus();
}

// Loading the model

function start(chosen) {
  direction = chosen;
  const [from, to] = domains(chosen);
  const unknown = from.length === 1; // A and B
  $("from").textContent = unknown ? "Before" : from;
  $("to").textContent = unknown ? "After" : to;
  showExamples();
  ready = engine.start(chosen, (bytes, total) => {
    const megabytes = (number) => (number / 1e6).toFixed(0);
    const share = bytes < total ? `${megabytes(bytes)} of ${megabytes(total)} MB` : "";
    const task = share ? "Loading the model" : "Preparing the model";
    if (stage.dataset.state === "work") setTask(task, share, bytes / total);
    else $("status").textContent = share ? `${task}: ${share}` : task;
  });
  ready.then(showReady, (error) => {
    if (error.message === "stopped") return;
    showNotice(`The model can't be loaded: ${error.message}. Reload the page to retry.`);
  });
}

function showReady(facts) {
  secondsPerPixel = facts.secondsPerPixel;
  if (facts.reason) console.warn(facts.reason);
  if (stage.dataset.state !== "work") $("status").textContent = "Ready";
  setFact("Runs on", facts.engine + (facts.engine === "WebGPU" ? "" : ", one thread"));
  engine.keepAll().then((kept) => kept && setFact("Offline", "ready: the browser has kept all files"), console.warn);
}

function restart() {
  job++;
  engine.stop();
  start(direction);
}

// Getting an image

async function open(blob, fileName) {
  if (stage.dataset.state === "work") restart();
  const number = ++job;
  const options = {
    imageOrientation: "from-image",
    colorSpaceConversion: config.web.color_profiles === "srgb" ? "default" : "none",
  };
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, options);
  } catch {
    showNotice(`${fileName} can't be read as an image. Choose a PNG, JPEG or WebP file.`);
    return;
  }
  if (number === job) accept(bitmap, fileName);
}

function accept(bitmap, fileName) {
  name = fileName.replace(/\.\w+$/, "") || "image";
  const { width, height } = bitmap, most = config.web.max_side;
  if (Math.max(width, height) <= most) {
    translate(bitmap, width, height);
    return;
  }
  const factor = most / Math.max(width, height);
  const small = { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
  const text = `This image has ${width} × ${height} pixels. This page translates images of up to ${most} pixels a side.`;
  showNotice(text, { ...small, action: () => translate(bitmap, small.width, small.height) });
}

// Draw over white, as transparent images are shown.
function draw(bitmap, width, height) {
  Object.assign(before, { width, height });
  const pen = before.getContext("2d", context);
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, width, height);
}

// Translating

async function translate(bitmap, width, height) {
  const number = ++job;
  draw(bitmap, width, height);
  bitmap.close();
  setStage("work");
  setTask("Loading the model", "");
  fit();
  try {
    await ready;
  } catch {
    return; // start() shows why
  }
  if (number !== job) return;
  try {
    const began = performance.now();
    setTask("Translating", "");
    timer = setInterval(() => showElapsed((performance.now() - began) / 1000, width * height), 100);
    const { engine: used, pixels } = await engine.translate(readPixels(), width, height);
    if (number !== job) return;
    const seconds = (performance.now() - began) / 1000;
    secondsPerPixel = seconds / (width * height);
    writePixels(pixels, width, height);
    reveal();
    setStage("done", `${width} × ${height} pixels, ${seconds.toFixed(1)} s, ${used}`);
  } catch (error) {
    if (number !== job || error.message === "stopped") return;
    console.error(error);
    restart(); // after a lack of memory the session can't be used
    const advice = "The browser may lack memory: try a smaller image.";
    showNotice(`This image can't be translated here: ${error.message}. ${advice}`);
  }
}

// The image on the canvas as (height, width, channels); gray as Pillow computes it.
function readPixels() {
  const { data } = before.getContext("2d", context).getImageData(0, 0, before.width, before.height);
  const count = data.length / 4, { channels } = config.directions[direction].input;
  const pixels = new Uint8Array(count * channels);
  for (let i = 0; i < count; i++) {
    const r = data[4 * i], g = data[4 * i + 1], b = data[4 * i + 2];
    if (channels === 1) pixels[i] = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
    else (pixels[3 * i] = r), (pixels[3 * i + 1] = g), (pixels[3 * i + 2] = b);
  }
  return pixels;
}

function writePixels(pixels, width, height) {
  const picture = new ImageData(width, height), { channels } = config.directions[direction].output;
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = pixels[channels * i + (channels === 1 ? 0 : c)];
    picture.data[4 * i + 3] = 255;
  }
  Object.assign(after, { width, height });
  after.getContext("2d", context).putImageData(picture, 0, 0);
}

function setTask(task, detail, share) {
  $("task").textContent = task;
  $("elapsed").textContent = detail;
  if (share === undefined || share >= 1) $("progress").removeAttribute("value");
  else $("progress").value = share;
}

function showElapsed(seconds, pixels) {
  const expected = secondsPerPixel && secondsPerPixel * pixels;
  const about = expected > 2 && seconds < expected ? ` of about ${Math.round(expected)} s` : " s";
  setTask("Translating", seconds.toFixed(1) + about, expected ? seconds / expected : undefined);
}

// Files, the clipboard, examples

$("choose").addEventListener("click", () => $("file").click());
stage.addEventListener("click", () => stage.dataset.state === "empty" && $("file").click());
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) open(file, file.name);
  $("file").value = ""; // the same file can be chosen again
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? stage.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) open(file, file.name);
  else showNotice("That is not a file. Save the image first, or copy and paste it.");
});
addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) open(file, file.name);
});
$("cancel").addEventListener("click", () => {
  restart();
  setStage("empty", "Canceled");
});
$("download").addEventListener("click", () =>
  after.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name}_${domains(direction)[1]}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }),
);

function showExamples() {
  const list = $("examples").querySelector("div");
  list.replaceChildren();
  config.directions[direction].examples.forEach((file, i) => {
    const button = document.createElement("button"), picture = new Image();
    picture.addEventListener("load", () => picture.classList.toggle("crisp", picture.naturalWidth < 100));
    picture.addEventListener("error", () => button.remove()); // deleted from the folder
    picture.alt = `Example ${i + 1}`;
    picture.src = file;
    button.type = "button";
    button.append(picture);
    button.addEventListener("click", async () => open(await (await fetch(file)).blob(), file.split("/").pop()));
    list.append(button);
  });
  $("examples").hidden = !list.children.length;
}

// The camera

const viewfinder = $("viewfinder"), video = viewfinder.querySelector("video");
$("camera").hidden = !navigator.mediaDevices; // only with https or on localhost
$("camera").addEventListener("click", async () => {
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    viewfinder.showModal();
  } catch (error) {
    showNotice(`The camera can't be used: ${error.message}.`);
  }
});
$("leave").addEventListener("click", () => viewfinder.close());
viewfinder.addEventListener("close", () => video.srcObject.getTracks().forEach((track) => track.stop()));
$("shoot").addEventListener("click", async () => {
  if (!video.videoWidth) return; // no picture yet
  if (stage.dataset.state === "work") restart();
  const bitmap = await createImageBitmap(video);
  viewfinder.close();
  accept(bitmap, "camera");
});

// Starting

function domains(one) {
  return config.directions[one].domains;
}

function showDirections() {
  const names = Object.keys(config.directions);
  for (const one of names) {
    const [label, input, text] = ["label", "input", "span"].map((tag) => document.createElement(tag));
    Object.assign(input, { type: "radio", name: "direction", checked: one === names[0] });
    text.textContent = domains(one).join(" → ");
    label.append(input, text);
    input.addEventListener("change", () => {
      job++;
      setStage("empty");
      start(one);
    });
    $("directions").append(label);
  }
  $("directions").hidden = names.length < 2;
  start(names[0]);
}

$("hint").remove();
navigator.serviceWorker?.register("service-worker.js").catch(console.warn);
try {
  config = await (await fetch("config.json", { cache: "no-cache" })).json();
  engine = new Engine(config, new URLSearchParams(location.search).get("engine"));
  showFacts(config);
  showDirections();
} catch (error) {
  showNotice(`config.json can't be loaded: ${error.message}.`);
}
