/** What a person may be. */
export const roles = ["admin", "member", "viewer"] as const;
export type Role = (typeof roles)[number];

/** The scopes that a key may have; `box`, for rented machines, cannot be combined with others. */
const scopes = [
  "tasks:read",
  "tasks:write",
  "weights:read",
  "weights:write",
  "queue:claim",
  "models:read",
  "models:write",
  "models:approve",
  "models:release",
  "keys:read",
  "keys:write",
  "admin",
] as const;
export type Scope = (typeof scopes)[number];
export const keyScopes = [...scopes, "box"] as const;
export type KeyScope = (typeof keyScopes)[number];

// `keys:…` reach the user's own keys; with `admin` everyone's.
const viewer: Scope[] = ["tasks:read", "weights:read", "models:read", "keys:read", "keys:write"];
const member: Scope[] = [...viewer, "tasks:write", "weights:write", "queue:claim", "models:write"];

/** What a role's keys can do when they are made without naming scopes. */
export const usualScopes: Record<Role, readonly Scope[]> = { viewer, member, admin: scopes };

/** The most that a role's keys can do: an admin may hand a member a key to approve or release with. */
export const roleScopes: Record<Role, readonly Scope[]> = {
  ...usualScopes,
  member: [...member, "models:approve", "models:release"],
};

/** What a key really can do: never more than its user. */
export const effectiveScopes = (role: Role, granted: readonly string[]): ReadonlySet<KeyScope> =>
  granted.includes("box")
    ? new Set<KeyScope>(role === "viewer" ? [] : ["box"])
    : new Set<KeyScope>(roleScopes[role].filter((scope) => granted.includes(scope)));
