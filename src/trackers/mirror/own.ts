import { and, eq, isNull } from "drizzle-orm";
import { owns } from "../../platform/auth/access.ts";
import { mirror } from "../../platform/db/schema.ts";
import type { Auth } from "../../platform/http/caller.ts";

/** The condition under which a caller may see and change the mirror. */
export const ownMirror = (id: number, auth: Auth) =>
  and(eq(mirror.id, id), isNull(mirror.deletedAt), owns(auth, mirror.userId));
