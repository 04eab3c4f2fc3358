import { dropDrafts } from "./draft-store.ts";

/** What this browser knows of its session; the session itself no script can see. */

/** The id of the user who is signed in, while this browser has a session. */
const SIGNED_IN = "ledger.signed-in";

/** Why the sign-in page is shown: nobody signed in yet, the session has ended, or another tab signed out. */
export type Ended = "never" | "ended" | "elsewhere";

export const isSignedIn = () => localStorage.getItem(SIGNED_IN) !== null;
export const noteSignedIn = (userId: number) => {
  // Written where it differs: each write wakes the other tabs.
  if (localStorage.getItem(SIGNED_IN) !== String(userId))
    localStorage.setItem(SIGNED_IN, String(userId));
};
/** Notes that the session has ended by itself; drafts stay for who signs in again. */
export const noteEnded = () => localStorage.removeItem(SIGNED_IN);

/** Leaves nothing of who signs out in this browser. */
export function forgetPerson() {
  dropDrafts();
  localStorage.removeItem(SIGNED_IN);
}

/** Calls a listener when another tab signs in or out. */
export function onOtherTab(listener: (signedIn: boolean) => void) {
  const hear = ({ key, newValue }: StorageEvent) => {
    if (key === SIGNED_IN) listener(newValue !== null);
  };
  window.addEventListener("storage", hear);
  return () => window.removeEventListener("storage", hear);
}
