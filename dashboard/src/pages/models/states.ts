import type { Text } from "../../i18n.ts";
import type { Me, Model, ModelVersion } from "../../types.ts";

export type State = ModelVersion["state"];

export const stateTexts: Record<State, Text> = {
  draft: "Draft",
  in_review: "In review",
  approved: "Approved",
  rejected: "Rejected",
  released: "Released",
  retired: "Retired",
};

/** The alias that makes a version released. */
export const PRODUCTION = "production";

export const isProtected = (model: Model, alias: string) =>
  alias === PRODUCTION || model.protected_aliases.includes(alias);

/** Whether a caller made one of these, or may as an admin. */
export const isTheirs = (me: Me, ...makers: string[]) =>
  me.scopes.includes("models:write") && (me.role === "admin" || makers.includes(me.name));

export const mayMove = (me: Me, model: Model, alias: string) =>
  me.scopes.includes("models:write") &&
  (me.scopes.includes("models:release") ||
    (!isProtected(model, alias) && isTheirs(me, model.created_by)));
