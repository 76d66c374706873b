"use strict";

// A click enlarges a picture. Left and right show its neighbors, up and down the same column in the row above
// and below; Escape or another click closes it.
const dialog = document.querySelector("dialog");
const enlarged = dialog.querySelector("img");
let current = null;

function show(link) {
  if (!link) return;
  current = link;
  const row = link.closest("article");
  const words = [row?.querySelector("h2").firstChild.textContent, link.querySelector("img").alt];
  dialog.querySelector("p").textContent = words.filter(Boolean).join(" · ");
  enlarged.src = link.href;
  if (!dialog.open) dialog.showModal();
  fit();
}

// As large as the window allows, at an integer multiple of the picture's size if the picture fits the window.
function fit() {
  if (!enlarged.naturalWidth) return;
  const room = Math.min(
    (dialog.clientWidth - 16) / enlarged.naturalWidth,
    (dialog.clientHeight - dialog.querySelector("p").offsetHeight - 16) / enlarged.naturalHeight,
  );
  const drawing = enlarged.src.endsWith(".svg");
  const scale = room < 1 || drawing ? room : Math.floor(room);
  enlarged.style.width = `${enlarged.naturalWidth * scale}px`;
  enlarged.style.height = `${enlarged.naturalHeight * scale}px`;
  enlarged.classList.toggle("crisp", scale >= 2);
}

function neighbor(key) {
  const links = [...document.querySelectorAll("a.zoom")];
  if (key === "ArrowLeft") return links[links.indexOf(current) - 1];
  if (key === "ArrowRight") return links[links.indexOf(current) + 1];
  const row = current.closest("article");
  const other = key === "ArrowUp" ? row?.previousElementSibling : row?.nextElementSibling;
  return other?.querySelectorAll("a.zoom")[[...row.querySelectorAll("a.zoom")].indexOf(current)];
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.zoom");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(link);
});
dialog.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) show(neighbor(button.value));
  else dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  if (!event.key.startsWith("Arrow")) return;
  event.preventDefault();
  show(neighbor(event.key));
});
dialog.addEventListener("close", () => {
  current.focus({ preventScroll: true });
  current.closest("figure").scrollIntoView({ block: "nearest" });
});
enlarged.addEventListener("load", fit);
window.addEventListener("resize", fit);

// The page of a running training reloads itself. Open sections stay open, and the row in view keeps its position
// when new rows appear above it.
const seconds = Number(document.body.dataset.reload);

function remember() {
  const bar = document.querySelector("header.top").offsetHeight;
  const rows = [...document.querySelectorAll("article[id]")];
  const row = rows.find((one) => one.getBoundingClientRect().bottom > bar);
  const top = row?.getBoundingClientRect().top;
  const anchored = row && (row !== rows[0] || top < bar);
  const opened = [...document.querySelectorAll("details")].map((one) => one.open);
  history.replaceState({ opened, scroll: window.scrollY, row: anchored ? row.id : null, top }, "");
}

function restore({ opened, scroll, row, top }) {
  document.querySelectorAll("details").forEach((one, index) => { one.open = opened[index] ?? one.open; });
  const kept = row && document.getElementById(row);
  if (!kept) return window.scrollTo(0, scroll);
  kept.scrollIntoView();
  // Again after layout and loading: rows take their true height only when they come into view.
  const settle = () => window.scrollBy(0, kept.getBoundingClientRect().top - top);
  settle();
  requestAnimationFrame(settle);
  window.addEventListener("load", () => requestAnimationFrame(settle));
}

if (seconds) {
  if (history.state) restore(history.state);
  // Only now, or the browser would put its own idea of the place over this one.
  window.addEventListener("load", () => setTimeout(() => { history.scrollRestoration = "auto"; }));
  setInterval(() => {
    if (dialog.open || document.hidden) return;
    remember();
    history.scrollRestoration = "manual";
    location.reload();
  }, seconds * 1000);
}
