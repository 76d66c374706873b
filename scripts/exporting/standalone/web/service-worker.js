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
  const { method, mode, url } = event.request, { origin, pathname, search } = new URL(url);
  if (method !== "GET" || !url.startsWith(CACHE) || (search && mode !== "navigate")) return;
  const file = `${origin}${pathname}`;
  event.respondWith(newest(event.request, file === `${CACHE}index.html` ? CACHE : file));
});

async function newest(request, key) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request, { cache: "no-cache" });
    if (response.ok && !response.redirected) await cache.put(key, response.clone());
    return response;
  } catch {
    return (await cache.match(key)) ?? Response.error();
  }
}
