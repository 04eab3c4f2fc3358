import { useState } from "preact/hooks";
import { whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { Choice } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { type Axis, axisOf, gridSize, type Varied } from "./vary.ts";

/** Runs that one request makes at most. */
export const MOST_RUNS = 200;

type Method = "grid" | "random" | "latin-hypercube";
export type SweepDraft = { varied: Varied[]; method: Method; count: number; seed: number };
export const noSweep: SweepDraft = { varied: [], method: "grid", count: 10, seed: 0 };

/** The axes by their keys; null where one of them is not finished. */
export function spaceOf({ varied }: SweepDraft): Record<string, Axis> | null {
  const axes = varied.map(({ key, text }) => [key.trim(), axisOf(text)] as const);
  if (axes.length === 0 || axes.some(([key, axis]) => key === "" || axis === null)) return null;
  return Object.fromEntries(axes.flatMap(([key, axis]) => (axis ? [[key, axis]] : [])));
}

/** Runs that the sweep makes; null where it is not finished. */
export function runsOf(sweep: SweepDraft): number | null {
  const space = spaceOf(sweep);
  if (!space) return null;
  return sweep.method === "grid" ? gridSize(Object.values(space)) : sweep.count;
}

/** Which settings take several values, and how many runs that makes. */
export function SweepPanel(props: {
  sweep: SweepDraft;
  change: (sweep: SweepDraft) => void;
  settings: readonly string[];
  cost: (runs: number) => string | null;
}) {
  const { sweep, change, settings, cost } = props;
  const [id] = useState(() => crypto.randomUUID());
  const { varied, method } = sweep;
  const set = (n: number, next: Partial<Varied>) =>
    change({
      ...sweep,
      varied: varied.map((one, at) => (at === n ? { ...one, ...next } : one)),
    });
  const runs = runsOf(sweep);
  const price = runs === null ? null : cost(runs);
  const hasRange = varied.some(({ text }) => {
    const axis = axisOf(text);
    return axis !== null && !Array.isArray(axis);
  });
  return (
    <section class="panel" aria-label={t("Sweep")}>
      <header>
        <h2 class="grow">{t("Sweep")}</h2>
        <button
          type="button"
          class="button small"
          disabled={varied.length >= 20}
          onClick={() => change({ ...sweep, varied: [...varied, { key: "", text: "" }] })}
        >
          <Icon name="plus" />
          {t("Vary a setting")}
        </button>
      </header>
      {varied.length > 0 && (
        <div class="body stack">
          <datalist id={id}>
            {settings.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
          {varied.map(({ key, text }, n) => (
            <div class="varied" key={n}>
              <input
                class="field small mono"
                list={id}
                aria-label={t("Setting {n}", { n: n + 1 })}
                placeholder="learning_rate"
                value={key}
                maxLength={300}
                onInput={(event) => set(n, { key: event.currentTarget.value })}
              />
              <input
                class="field small mono"
                aria-label={t("Values of setting {n}", { n: n + 1 })}
                placeholder="1e-4, 2e-4"
                value={text}
                maxLength={5000}
                aria-invalid={text !== "" && axisOf(text) === null}
                onInput={(event) => set(n, { text: event.currentTarget.value })}
              />
              <button
                type="button"
                class="button plain icon small"
                aria-label={t("Remove setting {n}", { n: n + 1 })}
                onClick={() => change({ ...sweep, varied: varied.filter((_, at) => at !== n) })}
              >
                <Icon name="close" />
              </button>
            </div>
          ))}
          <p class="faint">
            {t(
              "Values with commas between, or a range to draw from: 1e-5 .. 1e-3 log, 4 .. 64 int. The setting must be in the file.",
            )}
          </p>
          <div class="row wrap">
            <Choice
              label={t("Method")}
              value={method}
              options={[
                ["grid", t("All combinations")],
                ["random", t("Random draws")],
                ["latin-hypercube", t("Latin hypercube")],
              ]}
              choose={(next) => change({ ...sweep, method: next })}
            />
            {method !== "grid" && (
              <label class="labelled">
                {t("Number of runs")}
                <input
                  class="field"
                  type="number"
                  min={1}
                  max={MOST_RUNS}
                  value={sweep.count}
                  onInput={(event) =>
                    change({
                      ...sweep,
                      count: Math.max(1, Math.floor(event.currentTarget.valueAsNumber) || 1),
                    })
                  }
                />
              </label>
            )}
          </div>
          {method === "grid" && hasRange ? (
            <p class="note warn">
              {t("A range is drawn from: choose random draws or a Latin hypercube.")}
            </p>
          ) : (
            runs !== null && (
              <p class={runs > MOST_RUNS ? "note bad" : "note"} role="status">
                {runs > MOST_RUNS
                  ? t(
                      "{n} runs are too many: one sweep makes at most {most}. Leave values out, or draw some of the combinations.",
                      {
                        n: whole(runs),
                        most: MOST_RUNS,
                      },
                    )
                  : t("{n} runs", { n: whole(runs) }) + (price ? ` · ${price}` : "")}
              </p>
            )
          )}
        </div>
      )}
    </section>
  );
}
