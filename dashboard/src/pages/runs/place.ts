/** Where one was in the table of an address: how far it was scrolled, and the run whose row was active. */
export type Place = { top: number; id: number | null };

const MOST_PLACES = 50;
const places = new Map<string, Place>();

/** Whether the page came to its address by the browser's Back or Forward. */
let isBack = false;
addEventListener("popstate", () => {
  isBack = true;
});
// wouter tells of each new entry of the history by an event of this name.
addEventListener("pushState", () => {
  isBack = false;
});

export function keepPlace(address: string, place: Place) {
  places.delete(address);
  places.set(address, place);
  for (const oldest of places.keys()) {
    if (places.size <= MOST_PLACES) break;
    places.delete(oldest);
  }
}

/** The place that Back leads to; null where the page was opened anew. */
export const placeOf = (address: string): Place | null =>
  isBack ? (places.get(address) ?? null) : null;
