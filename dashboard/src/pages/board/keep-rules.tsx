import { useQuery, useQueryClient } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { useState } from "preact/hooks";
import { api, done, read } from "../../api.ts";
import { bytes, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";
import { kindText } from "../../ui/kinds.ts";
import { Ago, Dialog, Empty, Skeleton, Trouble } from "../../ui/parts.tsx";
import { attempt, toast } from "../../ui/toast.tsx";
import { ownsNamed, useWho } from "../../who.ts";

type Rule = InferResponseType<typeof api.storage.rules.$get, 200>["items"][number];
type Preview = InferResponseType<(typeof api.storage.rules)[":id"]["preview"]["$get"], 200>;

/** What a rule keeps, in words. */
function keeps({ rule }: Rule): string {
  const clauses = [
    rule.best &&
      t("of the best {n} runs by {field}", {
        n: rule.best.count ?? 0,
        field: rule.best.by ?? "final_loss",
      }),
    rule.last !== undefined && t("the last {n} of each run", { n: rule.last }),
    rule.days !== undefined && t("those of the last {n} days", { n: rule.days }),
  ].filter((clause) => typeof clause === "string");
  return clauses.join(" · ");
}

/** Rules of which files stay, what each would free, and applying them. */
export function KeepRules() {
  const me = useWho();
  const client = useQueryClient();
  const [making, setMaking] = useState(false);
  const [seen, setSeen] = useState<{ rule: Rule; preview: Preview } | null>(null);
  const { data, error, refetch } = useQuery({
    queryKey: ["rules"],
    queryFn: () => read(api.storage.rules.$get({ query: { limit: "100" } })),
  });
  const may = me.scopes.includes("weights:write");
  const mine = (rule: Rule) => may && ownsNamed(me, rule.created_by);
  const refresh = () =>
    Promise.all(
      ["rules", "storage", "trash"].map((key) => client.invalidateQueries({ queryKey: [key] })),
    );
  const look = (rule: Rule) =>
    attempt(async () => {
      const param = { id: String(rule.id) };
      setSeen({ rule, preview: await read(api.storage.rules[":id"].preview.$get({ param })) });
    });
  return (
    <section class="panel" aria-label={t("Rules of what to keep")}>
      <header class="wrap">
        <h2 class="grow">{t("Rules of what to keep")}</h2>
        {may && (
          <button type="button" class="button small" onClick={() => setMaking(true)}>
            <Icon name="plus" />
            {t("New rule")}
          </button>
        )}
      </header>
      {error ? (
        <Trouble error={error} again={() => void refetch()} />
      ) : !data ? (
        <div class="body">
          <Skeleton />
        </div>
      ) : data.items.length === 0 ? (
        <Empty icon="file" title={t("No rules yet")}>
          <p>
            {t(
              "A rule keeps, say, the checkpoints of the best 3 runs of each group; the rest goes into the trash. Final files always stay.",
            )}
          </p>
        </Empty>
      ) : (
        <ul class="rules">
          {data.items.map((rule) => (
            <li key={rule.id} class="row wrap">
              <span class="grow">
                <b>{rule.name}</b>
                <span class="muted rule-text">
                  {(rule.rule.kinds ?? ["checkpoint"]).map(kindText).join(", ")}: {keeps(rule)}
                  {rule.rule.filter && ` · ${rule.rule.filter}`}
                </span>
                <span class="faint">
                  {rule.created_by} · {rule.active ? t("applied every day") : t("applied by hand")}
                  {rule.last_run_at && (
                    <>
                      {" · "}
                      {t("last")} <Ago at={rule.last_run_at} />
                    </>
                  )}
                </span>
              </span>
              {mine(rule) && (
                <span class="row">
                  <button
                    type="button"
                    class="button small"
                    aria-label={`${t("What would go?")} ${rule.name}`}
                    onClick={() => look(rule)}
                  >
                    {t("What would go?")}
                  </button>
                  <button
                    type="button"
                    class="button small danger"
                    aria-label={t("Delete {name}", { name: rule.name })}
                    onClick={() =>
                      attempt(async () => {
                        const param = { id: String(rule.id) };
                        await done(api.storage.rules[":id"].$delete({ param }));
                        await refresh();
                      }, t("Deleted"))
                    }
                  >
                    {t("Delete")}
                  </button>
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
      {seen && (
        <Dialog title={seen.rule.name} close={() => setSeen(null)}>
          <p>
            {seen.preview.files === 0
              ? t("Nothing would go: all of it is kept.")
              : t(
                  "{n} files of {size} would go into the trash. When they are purged, the bucket is rid of {frees}.",
                  {
                    n: whole(seen.preview.files),
                    size: bytes(seen.preview.bytes),
                    frees: bytes(seen.preview.frees),
                  },
                )}
          </p>
          {seen.preview.items.length > 0 && (
            <ul class="going">
              {seen.preview.items.map((file) => (
                <li key={file.id} class="row">
                  <span class="grow clip mono">{file.filename}</span>
                  <span class="faint">{bytes(file.size)}</span>
                </li>
              ))}
            </ul>
          )}
          <div class="actions">
            <button type="button" class="button" onClick={() => setSeen(null)}>
              {t("Back")}
            </button>
            {seen.preview.files > 0 && (
              <button
                type="button"
                class="button primary"
                onClick={() =>
                  attempt(async () => {
                    const param = { id: String(seen.rule.id) };
                    const { deleted, more } = await read(
                      api.storage.rules[":id"].apply.$post({ param }),
                    );
                    toast(
                      more
                        ? t("{n} files are in the trash; apply it again for the rest", {
                            n: whole(deleted),
                          })
                        : t("{n} files are in the trash", { n: whole(deleted) }),
                    );
                    setSeen(null);
                    await refresh();
                  })
                }
              >
                {t("Put into the trash")}
              </button>
            )}
          </div>
        </Dialog>
      )}
      {making && <NewRule close={() => setMaking(false)} made={refresh} />}
    </section>
  );
}

const kinds = ["checkpoint", "state", "sample"] as const;

function NewRule(props: { close: () => void; made: () => Promise<unknown> }) {
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<readonly (typeof kinds)[number][]>(["checkpoint"]);
  const [best, setBest] = useState("3");
  const [last, setLast] = useState("1");
  const [days, setDays] = useState("");
  const [active, setActive] = useState(false);
  const number = (text: string, label: string, set: (text: string) => void) => (
    <label class="labelled">
      {label}
      <input
        class="field"
        type="number"
        min={0}
        value={text}
        onInput={(event) => set(event.currentTarget.value)}
      />
    </label>
  );
  return (
    <Dialog title={t("New rule")} close={props.close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(async () => {
            const rule = {
              kinds: [...chosen],
              ...(best && { best: { count: Number(best) } }),
              ...(last && { last: Number(last) }),
              ...(days && { days: Number(days) }),
            };
            await read(api.storage.rules.$post({ json: { name: name.trim(), rule, active } }));
            await props.made();
            props.close();
          }, t("Made. Look what it would free before you apply it."));
        }}
      >
        <label class="labelled">
          {t("Name")}
          <input
            class="field"
            required
            maxLength={200}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <fieldset class="row wrap plain">
          <legend>{t("Which files it is about")}</legend>
          {kinds.map((kind) => (
            <label key={kind} class="check">
              <input
                type="checkbox"
                checked={chosen.includes(kind)}
                onChange={(event) =>
                  setChosen(
                    kinds.filter((one) =>
                      one === kind ? event.currentTarget.checked : chosen.includes(one),
                    ),
                  )
                }
              />
              {kindText(kind)}
            </label>
          ))}
        </fieldset>
        <p class="muted">{t("Kept is what any of these says:")}</p>
        {number(best, t("Files of the best runs of each group by final loss, so many"), setBest)}
        {number(last, t("The last files of each run, so many"), setLast)}
        {number(days, t("Files younger than so many days"), setDays)}
        <label class="check">
          <input
            type="checkbox"
            checked={active}
            onChange={(event) => setActive(event.currentTarget.checked)}
          />
          {t("Apply it every day")}
        </label>
        <div class="actions">
          <button type="button" class="button" onClick={props.close}>
            {t("Back")}
          </button>
          <button type="submit" class="button primary">
            {t("Make the rule")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
