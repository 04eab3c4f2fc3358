import { useSyncExternalStore } from "preact/compat";

const narrow = matchMedia("(max-width: 760px)");

/** Whether the page is a phone's width. */
export const useNarrow = () =>
  useSyncExternalStore(
    (tell) => {
      narrow.addEventListener("change", tell);
      return () => narrow.removeEventListener("change", tell);
    },
    () => narrow.matches,
  );
