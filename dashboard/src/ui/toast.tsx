import { useSyncExternalStore } from "preact/compat";
import { explainError } from "../api.ts";
import { Icon } from "./icon.tsx";

type Toast = { id: number; text: string; bad: boolean };
let toasts: Toast[] = [];
let count = 0;
const listeners = new Set<() => void>();
const change = (next: Toast[]) => {
  toasts = next;
  for (const tell of listeners) tell();
};

/** Says for a few seconds that something was done, or why not. */
export function toast(text: string, bad = false) {
  const id = ++count;
  change([...toasts.slice(-3), { id, text, bad }]);
  setTimeout(() => change(toasts.filter((one) => one.id !== id)), bad ? 9000 : 3500);
}

/** Runs what a button does, and says why where it fails; gives whether it succeeded. */
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
    (tell) => {
      listeners.add(tell);
      return () => listeners.delete(tell);
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
