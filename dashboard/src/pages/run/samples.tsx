import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { setting } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Task, Weight } from "../../types.ts";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { samplesQuery } from "./queries.ts";

/** When a sample was made, as one number to order by. */
const moment = ({ step, epoch, id }: Weight) => step ?? (epoch !== null ? epoch * 1e9 : id);
const momentText = ({ step, epoch }: Weight) =>
  [
    epoch !== null && t("epoch {n}", { n: setting(epoch) }),
    step !== null && t("step {step}", { step }),
  ]
    .filter(Boolean)
    .join(" · ") || t("sample");
/** The prompt of a sample, or the number in its file's name that stands for the prompt. */
const promptOf = ({ prompt, filename }: Weight) =>
  prompt ??
  `#${filename.match(/_(\d{2})_\d{14}/)?.[1] ?? filename.match(/(\d+)\.\w+$/)?.[1] ?? ""}`;

/** Samples by prompt, and of each prompt the moments in order. */
export function byPrompt(samples: Weight[]) {
  const ordered = [...samples].sort((a, b) => moment(a) - moment(b));
  const prompts = new Map<string, Weight[]>();
  for (const sample of ordered)
    prompts.set(promptOf(sample), [...(prompts.get(promptOf(sample)) ?? []), sample]);
  return prompts;
}

const imageUrl = ({ id }: Weight) => `/api/weights/${id}/download`;

const isVideo = ({ filename }: Weight) => /\.(?:mp4|webm)$/i.test(filename);

export const Picture = ({ sample, text }: { sample: Weight; text: string }) =>
  isVideo(sample) ? (
    <video src={imageUrl(sample)} controls loop muted playsInline aria-label={text} />
  ) : (
    <a href={imageUrl(sample)} target="_blank" rel="noreferrer">
      <img src={imageUrl(sample)} alt={text} loading="lazy" decoding="async" />
    </a>
  );

/** A grid of sample images that one control moves through the epochs. */
export function Samples({ task, brief = false }: { task: Task; brief?: boolean }) {
  return (
    <Loaded query={useQuery(samplesQuery(task.id))} lines={brief ? 0 : 6}>
      {(samples) => <SamplesPanel task={task} data={samples} brief={brief} />}
    </Loaded>
  );
}

function SamplesPanel({ task, data, brief }: { task: Task; data: Weight[]; brief: boolean }) {
  const [at, setAt] = useState<number | null>(null);
  const [every, setEvery] = useState(false);
  if (data.length === 0)
    return brief ? null : (
      <Empty icon="image" title={t("No sample images")}>
        <p>{t("Set sample prompts in the trainer's file: the client uploads what it draws.")}</p>
      </Empty>
    );
  const prompts = byPrompt(data);
  const moments = [...new Map(data.map((sample) => [moment(sample), sample])).entries()].sort(
    (a, b) => a[0] - b[0],
  );
  const last = moments.length - 1;
  const place = Math.min(at ?? last, last);
  const [now = 0, shownSample] = moments[place] ?? [];
  return (
    <section class="panel" aria-label={t("Samples")}>
      <header class="wrap">
        <h2>{t("Samples")}</h2>
        {!every && moments.length > 1 && (
          <label class="row grow scrub">
            <span class="visually-hidden">{t("Which moment")}</span>
            <input
              type="range"
              min={0}
              max={last}
              value={place}
              aria-valuetext={shownSample && momentText(shownSample)}
              onInput={(event) => setAt(Number(event.currentTarget.value))}
            />
          </label>
        )}
        {every && <span class="grow" />}
        <span class="muted">{!every && shownSample && momentText(shownSample)}</span>
        {brief ? (
          <Link class="button plain small" href={`/runs/${task.id}?tab=samples`}>
            {t("All samples")}
          </Link>
        ) : (
          <button
            type="button"
            class="button small"
            aria-pressed={every}
            onClick={() => setEvery(!every)}
          >
            {t("All epochs side by side")}
          </button>
        )}
      </header>
      <div class="body">
        {every ? (
          <div class="stack">
            {[...prompts].map(([prompt, samples]) => (
              <figure key={prompt} class="stack">
                <figcaption class="muted">{prompt}</figcaption>
                <div class="sample-strip">
                  {samples.map((sample) => (
                    <div key={sample.id} class="sample">
                      <Picture sample={sample} text={`${prompt}, ${momentText(sample)}`} />
                      <span class="faint">{momentText(sample)}</span>
                    </div>
                  ))}
                </div>
              </figure>
            ))}
          </div>
        ) : (
          <div class={`sample-grid ${brief ? "brief" : ""}`}>
            {[...prompts].slice(0, brief ? 6 : undefined).map(([prompt, samples]) => {
              const sample = samples.findLast((one) => moment(one) <= now) ?? samples[0];
              return (
                sample && (
                  <figure key={prompt} class="sample">
                    <Picture sample={sample} text={`${prompt}, ${momentText(sample)}`} />
                    <figcaption class="muted clip" title={prompt}>
                      {prompt}
                    </figcaption>
                  </figure>
                )
              );
            })}
          </div>
        )}
      </div>
    </section>
  );
}
