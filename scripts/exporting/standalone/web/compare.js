// The image before and after its translation, under a slider.

export const before = document.getElementById("before"), after = document.getElementById("after");
const stage = document.getElementById("stage"), compare = document.getElementById("compare");
const slider = document.getElementById("slider");

// Small images at a whole multiple of their size, large ones shrunk to the stage.
export function fit() {
  if (!before.width) return;
  const style = getComputedStyle(stage);
  const room = stage.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const factor = Math.min(room / before.width, Math.max(260, innerHeight * 0.62) / before.height);
  const scale = factor < 1 ? factor : Math.floor(factor);
  compare.style.setProperty("--shown", `${before.width * scale}px`);
  compare.classList.toggle("crisp", scale > 1);
}

function setBoundary(value) {
  slider.value = value;
  slider.setAttribute("aria-valuetext", `${Math.round(value)}% before, ${Math.round(100 - value)}% after`);
  compare.style.setProperty("--at", `${value}%`);
}

export function reveal() {
  compare.classList.remove("reveal");
  setBoundary(100);
  compare.getBoundingClientRect(); // so that the change below is animated
  compare.classList.add("reveal");
  setBoundary(50);
}

slider.addEventListener("input", () => {
  compare.classList.remove("reveal");
  setBoundary(Number(slider.value));
});
slider.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -20, PageUp: 20 }[event.key];
  if (!step) return;
  event.preventDefault();
  compare.classList.remove("reveal");
  setBoundary(Math.min(100, Math.max(0, Number(slider.value) + step)));
});
addEventListener("resize", fit);
