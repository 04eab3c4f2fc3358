import { useSyncExternalStore } from "preact/compat";

/** Notices of the browser about new alerts: off until somebody switches them on in this browser. */

const KEY = "ledger.notices";
/** The id of the newest event that a notice was shown for, in any tab. */
const LAST = "ledger.notices.last";
/** Notices that are shown at once; the bell has the others. */
const MOST = 5;

const listeners = new Set<() => void>();
const tell = () => {
  for (const listener of listeners) listener();
};
window.addEventListener("storage", ({ key }) => key === KEY && tell());

const canNotify = () => "Notification" in window && isSecureContext;
export const areNoticesOn = () =>
  canNotify() && Notification.permission === "granted" && localStorage.getItem(KEY) === "on";

/** One tab of this browser looks for alerts while it is hidden: the one that holds the lock. */
let leads = false;
let asked = false;
export function leadsNotices(): boolean {
  if (areNoticesOn() && !asked && "locks" in navigator) {
    asked = true;
    void navigator.locks.request("ledger-notices", () => {
      leads = true;
      // The lock is held until the tab is closed.
      return new Promise(() => {});
    });
  }
  return leads && areNoticesOn();
}

export type NoticeState = "on" | "off" | "denied" | "impossible";
const stateNow = (): NoticeState =>
  !canNotify()
    ? "impossible"
    : Notification.permission === "denied"
      ? "denied"
      : areNoticesOn()
        ? "on"
        : "off";

/** Whether this browser shows notices, or why it cannot. */
export const useNotices = () =>
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, stateNow);

/** Asks the browser for its permission, and notes from which event on notices are shown. */
export async function switchNotices(on: boolean, newest: number) {
  if (on && (await Notification.requestPermission()) === "granted") {
    localStorage.setItem(LAST, String(newest));
    localStorage.setItem(KEY, "on");
  } else localStorage.removeItem(KEY);
  tell();
}

/** Shows a notice for each event that had none yet; `open` is called for one that is clicked. */
export function notify(
  events: readonly { id: number; uid: string; title: string; text: string }[],
  open: (id: number) => void,
) {
  if (!areNoticesOn()) return;
  const last = Number(localStorage.getItem(LAST)) || 0;
  const fresh = events.filter(({ id }) => id > last).sort((a, b) => a.id - b.id);
  const newest = fresh.at(-1);
  if (!newest) return;
  localStorage.setItem(LAST, String(newest.id));
  try {
    for (const { id, uid, title, text } of fresh.slice(-MOST)) {
      const notice = new Notification(title, { body: text, tag: uid, icon: "/icon-192.png" });
      notice.onclick = () => {
        window.focus();
        open(id);
        notice.close();
      };
    }
  } catch {
    // Some browsers of phones say that they can and show none from a page.
    localStorage.removeItem(KEY);
    tell();
  }
}
