// What is known about the model, at the foot of the page.

const list = document.getElementById("facts");

export function setFact(term, text) {
  let place = [...list.children].find((child) => child.textContent === term)?.nextElementSibling;
  if (!place) {
    place = document.createElement("dd");
    const title = document.createElement("dt");
    title.textContent = term;
    list.append(title, place);
  }
  place.textContent = text;
  return place;
}

export function showFacts(config) {
  const { runtime } = config.web, { rule, epoch, value } = config.checkpoint;
  const score = typeof value === "number" ? `value ${Number(value.toPrecision(4))}` : "";
  const chosen = [rule, epoch && `epoch ${epoch}`, score].filter(Boolean).join(", ");
  document.title = document.getElementById("title").textContent = config.name;
  setFact("Model", [config.model, config.options.netG, config.precision].filter(Boolean).join(", "));
  setFact("Checkpoint", `${config.epoch}: ${chosen}`);
  setFact("License of the model", config.license);
  const link = document.createElement("a");
  link.href = "runtime/LICENSE.txt";
  link.textContent = `${runtime.license} license`;
  setFact("Software", `ONNX Runtime Web ${runtime.version}, `).append(link);
}
