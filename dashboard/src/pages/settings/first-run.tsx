import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { Copy } from "../../ui/button.tsx";
import { Icon } from "../../ui/icon.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";

/** The lines that record a run on any box with Python. */
export const runLines = (key: string) =>
  `curl -fsS ${location.origin}/client.py -o ledger.py
export LEDGER_URL=${location.origin} LEDGER_KEY=${key}
python3 ledger.py run -- accelerate launch train_network.py --config_file my_lora.toml`;

/** From nothing to the first recorded run. */
export function FirstRun() {
  const me = useWho();
  const [key, setKey] = useState<string | null>(null);
  const may = me.scopes.includes("tasks:write");
  const make = () =>
    attempt(async () => {
      const json = { name: t("my training box"), scopes: ["box" as const], days: 7 };
      setKey((await read(api.keys.$post({ json }))).key);
    });
  return (
    <div class="page first-run">
      <div>
        <h1>{t("Record your first run")}</h1>
        <p class="muted">
          {t("Three lines on the machine that trains. Nothing about your training changes.")}
        </p>
      </div>
      <ol class="first-steps">
        <li class="panel body">
          <h2>{t("A key for the box")}</h2>
          <p class="muted">
            {t(
              "The key registers runs and uploads their files, reads nothing else, and expires after a week.",
            )}
          </p>
          {key ? (
            <p class="row">
              <Icon name="check" />
              {t("The lines below contain the new key, which is shown only once.")}
            </p>
          ) : may ? (
            <button type="button" class="button primary" onClick={make}>
              <Icon name="key" />
              {t("Make a box key")}
            </button>
          ) : (
            <p>{t("Your key is read-only. Ask an admin for one that may record runs.")}</p>
          )}
        </li>
        <li class="panel body">
          <h2>{t("Put it before the command you use today")}</h2>
          <pre class="code inline">{runLines(key ?? "…")}</pre>
          <Copy text={runLines(key ?? "…")} label={t("Copy the lines")} />
        </li>
        <li class="panel body">
          <h2>{t("Watch it here")}</h2>
          <p class="muted">
            {t(
              "The run appears by itself within seconds of its start. No client at hand? One curl with the config file registers a run too.",
            )}
          </p>
          <p class="row wrap">
            <Link class="button small" href="/runs">
              {t("To the runs")}
            </Link>
            <a class="button plain small" href="/docs/">
              {t("The API")}
            </a>
          </p>
        </li>
      </ol>
    </div>
  );
}
