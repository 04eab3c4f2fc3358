import type { KeyScope, Role } from "../../shared/scopes.ts";

/** Who calls, what the key allows, and where the platform says that the request came from. */
export type Auth = Caller & { address: string | null };

export type Caller = {
  userId: number;
  userName: string;
  keyId: number;
  role: Role;
  scopes: ReadonlySet<KeyScope>;
  /** A rented machine's key, which reaches only tasks that it registered or claimed, if anything. */
  box: boolean;
  expiresAt: Date | null;
  /** Whether stored dialects may read this user's files, as of the last check of the key. */
  hasDialects: boolean;
  /** Set where a page's session calls rather than a key: its id, when its token was made (s), its end. */
  session: { id: string; issuedAt: number; endsAt: string } | null;
};
