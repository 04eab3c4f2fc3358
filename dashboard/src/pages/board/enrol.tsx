import { useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import { dateTime } from "../../format.ts";
import { t, translate } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import { Copy } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { Check, Choice, TextField } from "../../ui/form.tsx";
import { useWho } from "../../who.ts";
import { ShownKey } from "../settings/shown-key.tsx";
import { keys } from "./queries.ts";
import { splitLabels } from "./text.ts";

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

type Made = {
  token: string;
  expires_at: string;
  key_expires_at: string | null;
  warnings: string[];
};

const TRAINER = "accelerate launch train_network.py --config_file {config}";

/** Makes a one-time token, and shows it once in the line to paste on the box. */
export function Enrol({ close }: { close: () => void }) {
  const me = useWho();
  const refresh = useRefresh();
  const [name, setName] = useState("");
  const [labels, setLabels] = useState("");
  const [price, setPrice] = useState("");
  const [days, setDays] = useState("3");
  const [command, setCommand] = useState(TRAINER);
  const [shared, setShared] = useState(false);
  const [made, setMade] = useState<Made | null>(null);
  const offered = splitLabels(labels);
  const line = made
    ? `curl -fsS ${location.origin}/client.py -o ledger.py && LEDGER_URL=${location.origin} LEDGER_ENROL=${made.token} python3 ledger.py agent --exec ${quoted(command)}${offered.length ? ` --labels ${quoted(offered.join(","))}` : ""}`
    : "";
  if (made)
    return (
      <ShownKey
        title={t("Paste this on the box")}
        warning={t("The line is shown only once and works once, until {time}.", {
          time: dateTime(made.expires_at),
        })}
        value={line}
        copy={<Copy text={line} label={t("Copy the line")} />}
        close={close}
      >
        <p class="muted">
          {t("In the trainer's folder. The box appears here as soon as it runs.")}
        </p>
        {made.warnings.map((warning) => (
          <p key={warning} class="note">
            {translate({
              message: warning,
              code: made.key_expires_at ? "box-key-ends" : "",
              params: { at: made.key_expires_at },
            })}
          </p>
        ))}
      </ShownKey>
    );
  return (
    <Ask
      title={t("Enrol a box")}
      submit={t("Make the line")}
      close={close}
      send={async () => {
        const json = {
          ...(name.trim() && { name: name.trim() }),
          ...(price && { hourly_price: Number(price) }),
          days: Number(days),
          ...(shared && { shared }),
        };
        setMade(await read(api.boxes.enrol.$post({ json })));
        await refresh(keys.boxes);
      }}
    >
      <TextField
        label={t("Name (optional)")}
        maxLength={100}
        placeholder={t("the machine's own name")}
        value={name}
        change={setName}
      />
      <TextField
        label={t("Command; {config} is the run's file", { config: "{config}" })}
        required
        value={command}
        change={setCommand}
      />
      <TextField
        label={t("Labels, separated by commas (optional)")}
        placeholder="sdxl, 24gb"
        value={labels}
        change={setLabels}
      />
      <TextField
        label={t("Price an hour (optional)")}
        type="number"
        min={0}
        step="any"
        placeholder="0.44"
        value={price}
        change={setPrice}
      />
      <Choice
        label={t("How long may it work?")}
        value={days}
        choose={setDays}
        options={[
          ["1", t("A day")],
          ["3", t("3 days")],
          ["7", t("A week")],
          ["30", t("30 days")],
        ]}
      />
      {me.role === "admin" && (
        <Check
          label={t("The box runs everyone's runs, not only mine")}
          checked={shared}
          change={setShared}
        />
      )}
    </Ask>
  );
}
