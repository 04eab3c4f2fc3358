// The ledger's Worker behind the local front. One that answers before it has read the body makes workerd
// close the connection under whoever still sends, and the answer is lost with it. Cloudflare's edge takes
// the body to its end first; so does this, within bounds.
import worker from "./worker.js";

/** Bytes, as Cloudflare takes them on the smallest plan, and milliseconds. */
const MOST = 100 * 1024 * 1024;
const LONGEST = 10_000;

async function readToEnd(body) {
  const reader = body.getReader();
  let left = MOST;
  const timer = setTimeout(() => reader.cancel().catch(() => {}), LONGEST);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      left -= value?.byteLength ?? 0;
      if (done || left < 0) return;
    }
  } catch {
    // The client went away, and with it whoever waits for the answer.
  } finally {
    clearTimeout(timer);
  }
}

export default {
  ...worker,
  async fetch(request, env, ctx) {
    const answer = await worker.fetch(request, env, ctx);
    if (request.body && !request.bodyUsed) await readToEnd(request.body);
    return answer;
  },
};
