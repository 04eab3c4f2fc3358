import { keepPreviousData, useQuery } from "@tanstack/preact-query";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Row, Sparkline } from "../../types.ts";
import { readSparklines } from "./queries.ts";

const SPARKS = 60;

/** The small curves of the rows in view: one request for all of them, fresh while some run. */
export function useSparklines(rows: Row[], wanted: boolean): Map<number, Sparkline> {
  const known = useRef(new Map<number, { at: string | null; spark: Sparkline | undefined }>());
  const missing = wanted
    ? rows
        .filter(({ id, heartbeat_at }) => known.current.get(id)?.at !== (heartbeat_at ?? ""))
        .filter(({ heartbeat_at }) => heartbeat_at !== null)
        .slice(0, SPARKS)
    : [];
  const asked = missing.map(({ id, heartbeat_at }) => `${id}@${heartbeat_at}`).join(",");
  const [ready, setReady] = useState(asked);
  // While one scrolls the rows in view change at each frame: ask when they rest.
  useEffect(() => {
    const later = setTimeout(() => setReady(asked), 120);
    return () => clearTimeout(later);
  }, [asked]);
  const query = useQuery({
    queryKey: ["sparklines", ready],
    enabled: ready !== "",
    gcTime: 0,
    placeholderData: keepPreviousData,
    queryFn: async () => {
      const runs = ready.split(",").map((part) => part.split("@"));
      const ids = runs.map(([id]) => id).join(",");
      const items = await readSparklines(ids);
      for (const [id, at] of runs)
        known.current.set(Number(id), {
          at: at ?? "",
          spark: items.find((item) => item.id === Number(id)),
        });
      return ready;
    },
  });
  return useMemo(
    () => new Map([...known.current].flatMap(([id, { spark }]) => (spark ? [[id, spark]] : []))),
    [query.data, rows],
  );
}
