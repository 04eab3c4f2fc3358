import { useQuery } from "@tanstack/preact-query";
import { useEffect, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { Copy } from "../../ui/button.tsx";
import { Choice } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { newestRunQuery } from "./queries.ts";

/** How each trainer is started; docs/record.md has the details of each. */
const commands = {
  "sd-scripts": "accelerate launch train_network.py --config_file my_lora.toml",
  "lora-scripts":
    "accelerate launch scripts/stable/train_network.py --config_file config/autosave/my_lora.toml",
  "musubi-tuner":
    "accelerate launch src/musubi_tuner/wan_train_network.py --dataset_config dataset.toml --dit wan.safetensors --network_module networks.lora_wan --output_dir output",
  "ai-toolkit": "python run.py config/my_lora.yaml",
  OneTrainer: "python scripts/train.py --config-path my_lora.json",
  "diffusion-pipe": "deepspeed --num_gpus=1 train.py --deepspeed --config my_lora.toml",
  "LLaMA-Factory": "llamafactory-cli train my_lora.yaml",
  axolotl: "axolotl train my_lora.yml",
  diffusers:
    "accelerate launch train_dreambooth_lora_flux.py --instance_data_dir data --rank 16 --output_dir out --report_to tensorboard",
} as const;
type Trainer = keyof typeof commands | "other";

/** The lines that record a run on any box with Python. */
export const runLines = (key: string, command: string = commands["sd-scripts"]) =>
  `curl -fsS ${location.origin}/client.py -o ledger.py
export LEDGER_URL=${location.origin} LEDGER_KEY=${key}
python3 ledger.py run -- ${command}`;

/** Whether a box elsewhere cannot reach the address that this page has. */
const isOnlyHere = () => ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

/** Waits for a run that is newer than those at the page's first look, and links to it. */
function Waiting() {
  const [before, setBefore] = useState<number | null>(null);
  const { data } = useQuery({ ...newestRunQuery, refetchInterval: 5_000 });
  const newest = data?.items[0];
  useEffect(() => {
    if (data && before === null) setBefore(newest?.id ?? 0);
  }, [data, before, newest]);
  const seen = newest && before !== null && newest.id > before ? newest : null;
  return (
    <p class="row wrap" role="status">
      {seen ? (
        <>
          <Icon name="check" />
          {t("Here it is:")}
          <Link class="button primary small" href={`/runs/${seen.id}`}>
            {seen.task_name}
          </Link>
        </>
      ) : (
        <span class="muted">{t("This page waits for the run and links to it.")}</span>
      )}
    </p>
  );
}

/** From nothing to the first recorded run. */
export function FirstRun() {
  const me = useWho();
  const [key, setKey] = useState<string | null>(null);
  const [trainer, setTrainer] = useState<Trainer>("sd-scripts");
  const lines = runLines(
    key ?? "…",
    trainer === "other" ? t("the command that you use today") : commands[trainer],
  );
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
          <Choice<Trainer>
            label={t("Trainer")}
            value={trainer}
            choose={setTrainer}
            options={[
              ...Object.keys(commands).map((name): [Trainer, string] => [name as Trainer, name]),
              ["other", t("Another, or a script of your own")],
            ]}
          />
          <pre class="code inline">{lines}</pre>
          <Copy text={lines} label={t("Copy the lines")} />
          {isOnlyHere() && (
            <p class="muted">
              {t(
                "The lines work on this machine alone: a rented box reaches no localhost. For boxes elsewhere, deploy the ledger.",
              )}
            </p>
          )}
        </li>
        <li class="panel body">
          <h2>{t("Watch it here")}</h2>
          <p class="muted">
            {t(
              "The run appears by itself within seconds of its start. No client at hand? One curl with the config file registers a run too.",
            )}
          </p>
          <Waiting />
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
