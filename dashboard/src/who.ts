import { useQuery } from "@tanstack/preact-query";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { api, read } from "./api.ts";
import type { Me } from "./types.ts";

export const WhoContext = createContext<Me | null>(null);

/** Who is signed in. */
export function useWho(): Me {
  const me = useContext(WhoContext);
  if (!me) throw new Error("nobody is signed in");
  return me;
}

export const mayWrite = (me: Me, ownerId: number) =>
  me.scopes.includes("tasks:write") && (me.role === "admin" || me.user_id === ownerId);

/** Users' names by id; the first 200 of them, as one list answers. */
export function useUserNames(): Map<number, string> {
  const users = useQuery({
    queryKey: ["users"],
    queryFn: () => read(api.users.$get({ query: { limit: "200" } })),
    staleTime: 5 * 60_000,
  });
  return new Map(users.data?.items.map(({ id, name }) => [id, name]));
}
