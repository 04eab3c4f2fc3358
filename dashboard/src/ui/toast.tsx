import { useSyncExternalStore } from "preact/compat";
import { explainError } from "../api.ts";
import { Icon } from "./icon.tsx";

type Toast = { id: number; text: string; bad: boolean };
let toasts: Toast[] = [];
let count = 0;
const listeners = new Set<() => void>();
const change = (next: Toast[]) => {
  toasts = next;
  for (const listener of listeners) listener();
};

/** Shows a message for a few seconds; a bad one longer. */
export function toast(text: string, bad = false) {
  const id = ++count;
  change([...toasts.slice(-3), { id, text, bad }]);
  setTimeout(() => change(toasts.filter((one) => one.id !== id)), bad ? 9000 : 3500);
}

/** Runs the action of a button and shows its error or success; resolves to whether it succeeded. */
export async function attempt(work: () => Promise<unknown>, success?: string): Promise<boolean> {
  try {
    await work();
    if (success) toast(success);
    return true;
  } catch (error) {
    toast(explainError(error), true);
    return false;
  }
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.map(({ id, text, bad }) => (
        <div key={id} class={`note ${bad ? "bad" : ""}`}>
          <Icon name={bad ? "warn" : "check"} />
          <p>{text}</p>
        </div>
      ))}
    </div>
  );
}
