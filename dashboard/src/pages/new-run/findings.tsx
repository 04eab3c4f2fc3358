import { useQuery } from "@tanstack/preact-query";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { duration, money, setting, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";
import { Trouble } from "../../ui/loading.tsx";
import { type Preview, type Speed, speedsQuery } from "./queries.ts";

const kinds: Record<Exclude<Preview["kind"], "run">, Text> = {
  dataset: "A dataset file, which starts no run",
  preset: "A preset, which starts no run",
  "full-fine-tune": "Trains the whole model, not a LoRA",
  embedding: "Trains an embedding, not a LoRA",
  unknown: "Starts no training that is known",
};

const Line = ({ name, children }: { name: string; children: ComponentChildren }) => (
  <>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </>
);

/** Seconds and money of some runs on a GPU; null where nothing is known. */
export function costOf(speed: Speed | undefined, steps: number | null, runs = 1) {
  if (!speed || steps === null) return null;
  const seconds = speed.seconds_per_step * steps * runs;
  return {
    seconds,
    price: speed.hourly_price === null ? null : (seconds / 3600) * speed.hourly_price,
  };
}

/** Time and money in words. */
export function costText(cost: NonNullable<ReturnType<typeof costOf>>): string {
  const time = t("about {time}", { time: duration(cost.seconds) });
  return cost.price === null ? time : `${time} · ${money(cost.price)}`;
}

/** How fast runs like this one were, and the GPU that a person looks at. */
export function useSpeed(answer: Preview | null) {
  const arch = answer?.fields.base_arch;
  const query = useQuery(
    speedsQuery(answer?.trainer ?? "", typeof arch === "string" ? arch : null),
  );
  const [chosen, choose] = useState("");
  const speeds = query.data?.items ?? [];
  const speed = speeds.find(({ gpu_info: gpu }) => gpu === chosen) ?? speeds[0];
  return { speeds, speed, choose };
}

/** What the ledger reads of the file while it is typed. */
export function Findings(props: {
  answer: Preview | null;
  error: unknown;
  busy: boolean;
  speed: ReturnType<typeof useSpeed>;
  images: number | null;
  setImages: (n: number | null) => void;
}) {
  const { answer, error, busy, images, setImages } = props;
  const { speeds, speed, choose } = props.speed;
  if (!answer && !error)
    return <p class="body muted">{busy ? t("Reading…") : t("Nothing to read yet.")}</p>;
  const value = (name: string) => setting(answer?.fields[name]) || t("not set");
  const steps = answer?.expected.steps ?? null;
  const cost = costOf(speed, steps);
  return (
    <div class="stack body" aria-busy={busy}>
      {error !== null && <Trouble error={error} />}
      {answer && (
        <>
          <dl class="findings">
            <Line name={t("Recognised as")}>
              {answer.trainer === "unknown" ? t("no known trainer") : answer.trainer}
              {answer.kind !== "run" && answer.trainer !== "unknown" && (
                <span class="muted"> · {t(kinds[answer.kind])}</span>
              )}
            </Line>
            <Line name={t("Base architecture")}>{value("base_arch")}</Line>
            <Line name={t("Rank")}>{value("lora_rank")}</Line>
            <Line name={t("Batch size")}>{value("batch_size")}</Line>
            <Line name={t("Learning rate")}>{value("learning_rate")}</Line>
            <Line name={t("Steps")}>{steps === null ? t("not known") : whole(steps)}</Line>
            <Line name={t("Images trained on")}>
              {answer.expected.images === null ? t("not known") : whole(answer.expected.images)}
            </Line>
            <Line name={t("Time and money")}>
              {cost ? costText(cost) : t("not known yet")}
              {speed && (
                <span class="muted">
                  {" "}
                  ·{" "}
                  {t("{s} s a step, of {n} runs", {
                    s: setting(Number(speed.seconds_per_step.toPrecision(3))),
                    n: speed.runs,
                  })}
                </span>
              )}
            </Line>
          </dl>
          {speeds.length > 0 && (
            <label class="labelled">
              {t("On which GPU")}
              <select
                class="field"
                value={speed?.gpu_info}
                onChange={(event) => choose(event.currentTarget.value)}
              >
                {speeds.map(({ gpu_info: gpu }) => (
                  <option key={gpu} value={gpu}>
                    {gpu}
                  </option>
                ))}
              </select>
            </label>
          )}
          {(steps === null || images !== null) && (
            <label class="labelled">
              {t("Images of an epoch, repeats included")}
              <input
                class="field"
                type="number"
                min={1}
                max={1_000_000_000}
                value={images ?? ""}
                onInput={(event) => {
                  const n = Math.floor(event.currentTarget.valueAsNumber);
                  setImages(n >= 1 && n <= 1_000_000_000 ? n : null);
                }}
              />
            </label>
          )}
          {answer.warnings.length > 0 && (
            <ul class="warnings" aria-label={t("Warnings")}>
              {answer.warnings.slice(0, 50).map(({ code, message, path }, n) => (
                <li key={`${n} ${code}`}>
                  <Icon name="warn" />
                  <span>
                    {message}
                    {path && <code> {path}</code>}
                  </span>
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </div>
  );
}
