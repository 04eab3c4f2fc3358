import type { ComponentChildren } from "preact";

/** A name and what it is, within a list of them; nothing where there is nothing to say. */
export const Fact = ({ name, children }: { name: string; children: ComponentChildren }) =>
  children === null || children === "" || children === undefined ? null : (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );

/** A value that a document of any shape holds, if it is a plain one. */
export function said(document: unknown, name: string): string {
  const value: unknown =
    typeof document === "object" && document !== null ? Reflect.get(document, name) : undefined;
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
