import { useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import { dateTime } from "../../format.ts";
import { t } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";
import { Copy, Dialog } from "../../ui/parts.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

const TRAINER = "accelerate launch train_network.py --config_file {config}";

/** Makes a one-time token, and shows it once in the line to paste on the box. */
export function Enrol({ close }: { close: () => void }) {
  const me = useWho();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [labels, setLabels] = useState("");
  const [price, setPrice] = useState("");
  const [days, setDays] = useState("3");
  const [command, setCommand] = useState(TRAINER);
  const [shared, setShared] = useState(me.role === "admin");
  const [made, setMade] = useState<{ token: string; expires_at: string } | null>(null);
  const offered = labels.split(/[\s,]+/).filter((label) => label !== "");
  const line = made
    ? `curl -fsS ${location.origin}/client.py -o ledger.py && LEDGER_URL=${location.origin} LEDGER_ENROL=${made.token} python3 ledger.py agent --exec ${quoted(command)}${offered.length ? ` --labels ${quoted(offered.join(","))}` : ""}`
    : "";
  if (made)
    return (
      <Dialog title={t("Paste this on the box")} close={close}>
        <div class="note warn">
          <Icon name="warn" />
          <p>
            {t("It is shown this once, and good once, until {time}.", {
              time: dateTime(made.expires_at),
            })}
          </p>
        </div>
        <pre class="code inline" data-testid="enrol-line">
          {line}
        </pre>
        <p class="muted">
          {t("In the trainer's folder. The box appears here as soon as it runs.")}
        </p>
        <div class="actions">
          <Copy text={line} label={t("Copy the line")} />
          <button type="button" class="button primary small" onClick={close}>
            {t("Done")}
          </button>
        </div>
      </Dialog>
    );
  return (
    <Dialog title={t("Enrol a box")} close={close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(async () => {
            const json = {
              ...(name.trim() && { name: name.trim() }),
              ...(price && { hourly_price: Number(price) }),
              days: Number(days),
              shared,
            };
            setMade(await read(api.boxes.enrol.$post({ json })));
            await client.invalidateQueries({ queryKey: ["boxes"] });
          });
        }}
      >
        <label class="labelled">
          {t("Name (optional)")}
          <input
            class="field"
            maxLength={100}
            placeholder={t("what it calls itself")}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <label class="labelled">
          {t("What it runs; {config} stands for the run's file", { config: "{config}" })}
          <input
            class="field mono"
            required
            value={command}
            onInput={(event) => setCommand(event.currentTarget.value)}
          />
        </label>
        <label class="labelled">
          {t("Labels that it offers, with commas between (optional)")}
          <input
            class="field"
            placeholder="sdxl, 24gb"
            value={labels}
            onInput={(event) => setLabels(event.currentTarget.value)}
          />
        </label>
        <label class="labelled">
          {t("What it costs an hour (optional)")}
          <input
            class="field"
            type="number"
            min={0}
            step="any"
            placeholder="0.44"
            value={price}
            onInput={(event) => setPrice(event.currentTarget.value)}
          />
        </label>
        <label class="labelled">
          {t("How long may it work?")}
          <select
            class="field"
            value={days}
            onChange={(event) => setDays(event.currentTarget.value)}
          >
            <option value="1">{t("A day")}</option>
            <option value="3">{t("3 days")}</option>
            <option value="7">{t("A week")}</option>
            <option value="30">{t("30 days")}</option>
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={shared}
            onChange={(event) => setShared(event.currentTarget.checked)}
          />
          {t("It runs everyone's runs, not mine alone")}
        </label>
        <div class="actions">
          <button type="button" class="button" onClick={close}>
            {t("Back")}
          </button>
          <button type="submit" class="button primary">
            {t("Make the line")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
