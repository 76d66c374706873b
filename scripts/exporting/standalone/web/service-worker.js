// Answers from the cache when there is no network. engine.js keeps the large files, whose addresses have a query.

const CACHE = self.registration.scope;
const SCRIPTS = ["page", "compare", "engine", "facts", "worker", "runtime/wasm", "runtime/webgpu"];
const FILES = ["./", "page.css", "config.json", ...SCRIPTS.map((name) => `${name}.js`)];

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
