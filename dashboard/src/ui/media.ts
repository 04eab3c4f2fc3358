import { useSyncExternalStore } from "preact/compat";

const narrow = matchMedia("(max-width: 760px)");

/** Whether the page is a phone's width. */
export const useNarrow = () =>
  useSyncExternalStore(
    (listener) => {
      narrow.addEventListener("change", listener);
      return () => narrow.removeEventListener("change", listener);
    },
    () => narrow.matches,
  );
