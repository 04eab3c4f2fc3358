import { queryOptions, useQuery, useQueryClient } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { useEffect } from "preact/hooks";
import { api, explainError, read } from "./api.ts";
import { useChanges } from "./live.ts";
import { areNoticesOn } from "./notices.ts";
import type { Me } from "./types.ts";
import { toast } from "./ui/toast.tsx";
import { useWho } from "./who.ts";

export type AlertEvent = InferResponseType<typeof api.events.$get, 200>["items"][number];

/** Events that the bell lists and counts; the board has them all. */
export const MOST_ALERTS = 50;
/** Between two looks at the newest events, however many come. */
const BETWEEN_MS = 20_000;
/** Of who never looked, what is older than this is no news. */
const DAY_MS = 86_400_000;
/** Another tab of this browser has read alerts. */
const SEEN_ELSEWHERE = "ledger.alerts.seen";

const route = api.me.preferences.alerts;
type Preferences = InferResponseType<typeof route.$get, 200>["value"];

const preferencesQuery = queryOptions({
  queryKey: ["preferences", "alerts"],
  staleTime: 5 * 60_000,
  queryFn: async (): Promise<Preferences> => (await read(route.$get())).value,
});

const alertsQuery = queryOptions({
  queryKey: ["alerts"],
  staleTime: Number.POSITIVE_INFINITY,
  queryFn: async () =>
    (await read(api.events.$get({ query: { limit: String(MOST_ALERTS) } }))).items,
});

/** Whether an event concerns a person: of a run of theirs, of nobody's, or one that asks for a decision. */
const concerns = (me: Me, { user_id, kind }: AlertEvent) =>
  user_id === me.user_id || user_id === null || kind === "approval_requested";

/**
 * The newest alerts of the person who is signed in, and how many of them are unread: they are asked for
 * where the poll of the page says that there are newer ones than were seen. `isOpen`: the list is looked at.
 */
export function useAlerts(isOpen: boolean) {
  const me = useWho();
  const client = useQueryClient();
  const newest = useChanges().data?.event ?? 0;
  const own = useQuery({ ...preferencesQuery, enabled: me.user_id > 0 });
  const seen = own.data?.seen;
  const whose = own.data?.whose ?? "mine";
  const isWanted =
    newest > 0 && (isOpen || areNoticesOn() || (own.isSuccess && newest > (seen ?? 0)));
  const query = useQuery({ ...alertsQuery, enabled: isWanted });
  const { data, dataUpdatedAt, refetch } = query;
  const isBehind = data !== undefined && newest > (data[0]?.id ?? 0);
  useEffect(() => {
    if (!isWanted || !isBehind) return;
    const wait = Math.max(0, dataUpdatedAt + BETWEEN_MS - Date.now());
    const timer = setTimeout(() => void refetch(), wait);
    return () => clearTimeout(timer);
  }, [isWanted, isBehind, dataUpdatedAt, refetch]);

  const change = async (next: Preferences) => {
    const value = { ...own.data, ...next };
    client.setQueryData(preferencesQuery.queryKey, value);
    try {
      await read(route.$put({ json: { value } }));
      localStorage.setItem(SEEN_ELSEWHERE, `${me.user_id} ${JSON.stringify(value)}`);
    } catch (error) {
      toast(explainError(error), true);
    }
  };
  useEffect(() => {
    const hear = ({ key, newValue }: StorageEvent) => {
      if (key !== SEEN_ELSEWHERE || !newValue?.startsWith(`${me.user_id} `)) return;
      void client.invalidateQueries({ queryKey: preferencesQuery.queryKey });
    };
    window.addEventListener("storage", hear);
    return () => window.removeEventListener("storage", hear);
  }, [client, me.user_id]);

  const items = (data ?? []).filter((event) => whose === "all" || concerns(me, event));
  const isUnread = (event: AlertEvent) =>
    seen === undefined ? Date.now() - Date.parse(event.created_at) < DAY_MS : event.id > seen;
  return {
    query,
    items,
    newest,
    whose,
    unread: own.isSuccess ? items.filter(isUnread).length : 0,
    isUnread,
    choose: (next: "mine" | "all") => change({ whose: next }),
    read: () => {
      const last = Math.max(newest, data?.[0]?.id ?? 0);
      if (own.isSuccess && last > (seen ?? 0)) void change({ seen: last });
    },
  };
}
