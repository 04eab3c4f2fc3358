import { Link } from "wouter-preact";
import { type Text, t } from "../../i18n.ts";
import { useTitle } from "../../title.ts";
import { Nowhere } from "../../ui/loading.tsx";
import { useWho } from "../../who.ts";
import { FirstRun } from "./first-run.tsx";
import { Keys } from "./keys.tsx";
import { Mirrors } from "./mirrors.tsx";
import { roleTexts } from "./roles.ts";
import { Users } from "./users.tsx";
import { Webhooks } from "./webhooks.tsx";

const parts = [
  ["keys", "Keys"],
  ["users", "Users"],
  ["webhooks", "Webhooks"],
  ["mirrors", "Mirrors"],
  ["first-run", "First run"],
] as const satisfies readonly (readonly [string, Text])[];

export function Settings({ part = "keys" }: { part?: string }) {
  const me = useWho();
  const known = parts.find(([name]) => name === part);
  useTitle(known ? t(known[1]) : "");
  if (!known) return <Nowhere />;
  return (
    <div class="page">
      <div class="page-head">
        <h1>{t("Settings")}</h1>
        <span class="muted">
          {me.name} · {t(roleTexts[me.role])}
        </span>
      </div>
      <nav class="tabs" aria-label={t("Settings")}>
        {parts.map(([name, text]) => (
          <Link
            key={name}
            href={`/settings/${name}`}
            aria-current={part === name ? "page" : undefined}
          >
            {t(text)}
          </Link>
        ))}
      </nav>
      {part === "keys" && <Keys />}
      {part === "users" && <Users />}
      {part === "webhooks" && <Webhooks />}
      {part === "mirrors" && <Mirrors />}
      {part === "first-run" && <FirstRun />}
    </div>
  );
}
