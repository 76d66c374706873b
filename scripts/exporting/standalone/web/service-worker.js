// Answers from the cache when there is no network. Addresses with a query are those of large files, which engine.js keeps.

const CACHE = self.registration.scope;
const FILES = ["./", "page.css", "page.js", "engine.js", "worker.js", "config.json", "runtime/wasm.js", "runtime/webgpu.js"];

self.addEventListener("install", (event) => {
  const requests = FILES.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(CACHE) && !new URL(url).search) event.respondWith(newest(event.request));
});

async function newest(request) {
  const cache = await caches.open(CACHE);
  const key = request.url === `${CACHE}index.html` ? CACHE : request.url;
  try {
    const response = await fetch(request, { cache: "no-cache" });
    if (response.ok && !response.redirected) await cache.put(key, response.clone());
    return response;
  } catch {
    return (await cache.match(key)) ?? Response.error();
  }
}
