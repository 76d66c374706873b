// The large files, which are kept for use without a network, and the worker that runs the model.

const HERE = new URL(".", location).href; // the name of the cache, as in service-worker.js
const store = await self.caches?.open(HERE).catch(() => null); // none without https or localhost

// What an address contains; kept, since the address of a file changes with its content.
async function load(url, onBytes = () => {}) {
  const kept = await store?.match(url);
  if (kept) return kept.arrayBuffer();
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} can't be loaded: ${response.status} ${response.statusText}`);
  const parts = [];
  for (let reader = response.body.getReader(), part; !(part = await reader.read()).done; ) {
    parts.push(part.value);
    onBytes(part.value.length);
  }
  const content = new Blob(parts);
  await store?.put(url, new Response(content)).catch(console.warn); // no space
  return content.arrayBuffer();
}

const modelURL = (facts) => `${HERE}${facts.file}?${facts.sha256.slice(0, 16)}`;

export class Engine {
  // `wanted`: webgpu or wasm, or null to choose.
  constructor(config, wanted) {
    Object.assign(this, { config, wanted });
  }

  // Load a direction. `onProgress` gets the bytes so far and in all. Returns {engine, secondsPerPixel}.
  async start(direction, onProgress) {
    this.stop();
    const facts = this.config.directions[direction], { runtime } = this.config.web;
    const useGraphics = await this.hasGraphics();
    const name = useGraphics ? "webgpu" : "wasm";
    this.channels = facts.input.channels;
    this.programURL = `${HERE}runtime/${name}.wasm?${runtime.version}`;
    const total = facts.bytes + runtime.bytes[name];
    let bytes = 0;
    const add = (count) => onProgress((bytes += count), total);
    const worker = this.worker = new Worker("worker.js", { type: "module" });
    const [program, model] = await Promise.all([load(this.programURL, add), load(modelURL(facts), add)]);
    if (worker !== this.worker) throw new Error("stopped");
    onProgress(total, total);
    const side = Math.max(64, facts.sizes.padded_inside_to_at_least, facts.sizes.padded_inside_to_multiples_of);
    const script = `${HERE}runtime/${name}.js`;
    const { channels } = this;
    return this.ask({ action: "start", script, program, model, channels, side, useGraphics }, [program]);
  }

  // A translation {engine, pixels} of pixels (height, width, channels) with values 0 to 255.
  translate(pixels, width, height) {
    const { channels } = this;
    return this.ask({ action: "translate", pixels, width, height, channels }, [pixels.buffer]);
  }

  stop() {
    this.worker?.terminate();
    this.worker = null;
    this.reject?.(new Error("stopped"));
  }

  // Keep all that the page needs without a network, and drop what it no longer needs; returns whether it works then.
  async keepAll() {
    if (!store || !navigator.serviceWorker || navigator.connection?.saveData) return false;
    const directions = Object.values(this.config.directions);
    const needed = new Set([this.programURL, ...directions.map(modelURL)]);
    for (const url of needed) (await store.match(url)) ?? (await load(url));
    await Promise.allSettled(directions.flatMap((facts) => facts.examples.map((file) => store.add(file)))); // if there
    for (const { url } of await store.keys()) {
      if (new URL(url).search && !needed.has(url)) await store.delete(url);
    }
    await navigator.serviceWorker.ready;
    return true;
  }

  async hasGraphics() {
    if (this.wanted === "wasm") return false;
    const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
    return Boolean(adapter) && (this.wanted === "webgpu" || !adapter.info?.isFallbackAdapter); // not on the processor
  }

  ask(message, transfer) {
    return new Promise((resolve, reject) => {
      this.reject = reject;
      this.worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.answer));
      this.worker.onerror = (event) => reject(new Error(event.message ?? "the worker can't be loaded"));
      this.worker.postMessage(message, transfer);
    });
  }
}
