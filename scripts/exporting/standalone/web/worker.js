// Runs the model, so that the page can be used while it computes. Messages: {action, ...} in; {answer} or {error} out.

let ort, processor, graphics; // ONNX Runtime, and its sessions: on the processor, and on the graphics card or null

async function run(session, pixels, height, width, channels) {
  const image = new ort.Tensor("uint8", pixels, [1, height, width, channels]);
  const { translation } = await session.run({ image }, ["translation"]);
  const data = (await translation.getData()).slice(); // not a view of the runtime's memory
  translation.dispose();
  return data;
}

// A picture with waves and noise, the same in every browser.
function testPicture(side, channels) {
  let state = 1;
  return Uint8Array.from({ length: side * side * channels }, (_, i) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    const place = Math.floor(i / channels);
    const wave = Math.sin((place % side) / 7 + i % channels) + Math.cos(place / side / 5);
    return 128 + 50 * wave + 27 * (state / 2147483648);
  });
}

const actions = {
  // Makes the sessions. The graphics card is used only if it agrees with the processor on a test picture.
  async start({ script, program, model, channels, side, useGraphics }) {
    ort = await import(script);
    ort.env.wasm.numThreads = 1; // more need headers that plain static servers do not send
    ort.env.wasm.wasmBinary = program;
    const create = (content, name) =>
      ort.InferenceSession.create(content, { executionProviders: [name], logSeverityLevel: 3 }); // errors only
    processor = await create(model.slice(0), "wasm");
    const picture = testPicture(side, channels);
    const expected = await run(processor, picture, side, side, channels);
    const start = performance.now();
    await run(processor, picture, side, side, channels); // the first time takes longer
    const secondsPerPixel = (performance.now() - start) / 1000 / side ** 2;
    if (!useGraphics) return { engine: "WebAssembly", secondsPerPixel };
    let reason;
    try {
      graphics = await create(model, "webgpu");
      const found = await run(graphics, picture, side, side, channels);
      const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i])), 0);
      if (worst <= 1) return { engine: "WebGPU", secondsPerPixel: null };
      reason = `WebGPU differs by ${worst} levels`;
    } catch (error) {
      reason = `WebGPU has failed: ${error?.message ?? error}`;
    }
    graphics = null;
    return { engine: "WebAssembly", secondsPerPixel, reason };
  },

  async translate({ pixels, width, height, channels }) {
    if (graphics) {
      try {
        return { engine: "WebGPU", pixels: await run(graphics, pixels, height, width, channels) };
      } catch (error) {
        console.warn(error);
        graphics = null; // such as an image larger than the card's limits
      }
    }
    return { engine: "WebAssembly", pixels: await run(processor, pixels, height, width, channels) };
  },
};

self.addEventListener("message", async ({ data }) => {
  try {
    const answer = await actions[data.action](data);
    self.postMessage({ answer }, answer.pixels ? [answer.pixels.buffer] : []);
  } catch (error) {
    self.postMessage({ error: String(error?.message ?? error) });
  }
});
