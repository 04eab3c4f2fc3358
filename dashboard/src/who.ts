import { useQuery } from "@tanstack/preact-query";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { usersQuery } from "./queries.ts";
import type { Me } from "./types.ts";

/** The user while it is unknown who is signed in: may do nothing. */
export const nobody: Me = {
  user_id: 0,
  name: "",
  role: "viewer",
  key_id: 0,
  scopes: [],
  expires_at: null,
  currency: null,
};

export const WhoContext = createContext<Me>(nobody);

/** Who is signed in. */
export const useWho = (): Me => useContext(WhoContext);

export const mayWrite = (me: Me, ownerId: number) =>
  me.scopes.includes("tasks:write") && (me.role === "admin" || me.user_id === ownerId);

/** Whether a caller may change what names its owner: their own, or all as an admin. */
export const ownsNamed = (me: Me, owner: string) => me.role === "admin" || me.name === owner;

/** Users' names by id; the first 200 of them, as one list answers. */
export function useUserNames(): Map<number, string> {
  const users = useQuery({ ...usersQuery, staleTime: 5 * 60_000 });
  return new Map(users.data?.items.map(({ id, name }) => [id, name]));
}
