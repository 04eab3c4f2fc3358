import { useEffect, useRef, useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import type { Preview, PreviewFiles } from "./queries.ts";

/** Typing waits so long before the file is read. */
const PAUSE_MS = 400;

type Read = { answer: Preview | null; error: unknown; busy: boolean };

/**
 * What the ledger reads of the files, again whenever they change: one request at a time, and the last files win.
 * An answer stays while the next is on its way. `key` tells whether the files are others.
 */
export function usePreview(files: PreviewFiles | null, key: string): Read {
  const [state, setState] = useState<Read>({ answer: null, error: null, busy: files !== null });
  const wanted = useRef<{ files: PreviewFiles | null; key: string }>({ files, key });
  const running = useRef(false);
  const gone = useRef(false);
  useEffect(
    () => () => {
      gone.current = true;
    },
    [],
  );
  useEffect(() => {
    wanted.current = { files, key };
    if (!files) {
      setState({ answer: null, error: null, busy: false });
      return;
    }
    setState((before) => ({ ...before, busy: true }));
    const timer = setTimeout(() => void run(), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [key]);

  async function run() {
    if (running.current) return;
    running.current = true;
    for (;;) {
      const asked = wanted.current;
      if (!asked.files) break;
      const next = await read(api.tasks.preview.$post({ json: asked.files })).then(
        (answer): Read => ({ answer, error: null, busy: false }),
        (error: unknown): Read => ({ answer: null, error, busy: false }),
      );
      if (gone.current) break;
      // What came in between is read before anything is shown of what it replaced.
      if (wanted.current !== asked) continue;
      setState((before) => (next.error ? { ...next, answer: before.answer } : next));
      break;
    }
    running.current = false;
  }
  return state;
}
