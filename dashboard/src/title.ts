import { useSyncExternalStore } from "preact/compat";
import { useEffect } from "preact/hooks";

/** The titles of the pages that are open, outermost first: the browser shows the innermost first. */
let parts: { own: symbol; text: string }[] = [];
const listeners = new Set<() => void>();
const change = (next: typeof parts) => {
  parts = next;
  for (const listener of listeners) listener();
};

/** Puts a text before the title of the page while the caller is shown; "" puts none. */
export function useTitle(text: string) {
  useEffect(() => {
    if (!text) return;
    const own = Symbol(text);
    change([...parts, { own, text }]);
    return () => change(parts.filter((part) => part.own !== own));
  }, [text]);
}

/** Titles the document by the place and what pages within it add. */
export function useDocumentTitle(place: string) {
  const own = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => parts,
  );
  const text = [...own.map((part) => part.text).reverse(), place, "LoRA Ledger"]
    .filter(Boolean)
    .join(" · ");
  useEffect(() => {
    document.title = text;
  }, [text]);
}
