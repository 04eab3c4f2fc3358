import { useQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { useState } from "preact/hooks";
import { api, expectSuccess, read } from "../../api.ts";
import { bytes, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import { NewButton, RowButton } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Check, TextField } from "../../ui/form.tsx";
import { kindText } from "../../ui/kinds.ts";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { attempt, toast } from "../../ui/toast.tsx";
import { ownsNamed, useWho } from "../../who.ts";
import { keys, rulesQuery } from "./queries.ts";

type Rule = InferResponseType<typeof api.storage.rules.$get, 200>["items"][number];
type Preview = InferResponseType<(typeof api.storage.rules)[":id"]["preview"]["$get"], 200>;

/** The clauses of a rule, in words. */
function clausesText({ rule }: Rule): string {
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

/** Retention rules of files: previews what each would free, and applies them. */
export function RetentionRules() {
  const me = useWho();
  const ask = useRefresh();
  const [making, setMaking] = useState(false);
  const [seen, setSeen] = useState<{ rule: Rule; preview: Preview } | null>(null);
  const rules = useQuery(rulesQuery);
  const may = me.scopes.includes("weights:write");
  const mine = (rule: Rule) => may && ownsNamed(me, rule.created_by);
  const refresh = () => ask(keys.rules, keys.storage, keys.trash);
  const look = (rule: Rule) =>
    attempt(async () => {
      const param = { id: String(rule.id) };
      setSeen({ rule, preview: await read(api.storage.rules[":id"].preview.$get({ param })) });
    });
  return (
    <section class="panel" aria-label={t("Retention rules")}>
      <header class="wrap">
        <h2 class="grow">{t("Retention rules")}</h2>
        {may && <NewButton label={t("New rule")} make={() => setMaking(true)} />}
      </header>
      <Loaded query={rules}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty icon="file" title={t("No rules yet")}>
              <p>
                {t(
                  "A rule keeps, for example, the checkpoints of the best 3 runs of each group and moves the rest to the trash. Final files always stay.",
                )}
              </p>
            </Empty>
          ) : (
            <ul class="rules">
              {items.map((rule) => (
                <li key={rule.id} class="row wrap">
                  <span class="grow">
                    <b>{rule.name}</b>
                    <span class="muted rule-text">
                      {(rule.rule.kinds ?? ["checkpoint"]).map(kindText).join(", ")}:{" "}
                      {clausesText(rule)}
                      {rule.rule.filter && ` · ${rule.rule.filter}`}
                    </span>
                    <span class="faint">
                      {rule.created_by} ·{" "}
                      {rule.active ? t("applied every day") : t("applied by hand")}
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
                      <RowButton
                        text={t("Preview")}
                        name={`${t("Preview")} ${rule.name}`}
                        act={() => look(rule)}
                      />
                      <RowButton
                        text={t("Delete")}
                        name={t("Delete {name}", { name: rule.name })}
                        danger
                        act={() =>
                          attempt(async () => {
                            const param = { id: String(rule.id) };
                            await expectSuccess(api.storage.rules[":id"].$delete({ param }));
                            await refresh();
                          }, t("Deleted"))
                        }
                      />
                    </span>
                  )}
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      {seen && <PreviewDialog {...seen} close={() => setSeen(null)} changed={refresh} />}
      {making && <NewRule close={() => setMaking(false)} made={refresh} />}
    </section>
  );
}

/** The files that a rule would delete now, and the button that deletes them. */
function PreviewDialog(props: {
  rule: Rule;
  preview: Preview;
  close: () => void;
  changed: () => Promise<unknown>;
}) {
  const { rule, preview } = props;
  return (
    <Ask
      title={rule.name}
      submit={t("Put into the trash")}
      ready={preview.files > 0}
      close={props.close}
      send={async () => {
        const param = { id: String(rule.id) };
        const { deleted, more } = await read(api.storage.rules[":id"].apply.$post({ param }));
        props.close();
        const n = whole(deleted);
        toast(
          more
            ? t("{n} files are in the trash; apply it again for the rest", { n })
            : t("{n} files are in the trash", { n }),
        );
        await props.changed();
      }}
    >
      <p>
        {preview.files === 0
          ? t("The rule keeps every file: nothing would be deleted.")
          : t(
              "{n} files of {size} would move to the trash. Their purge frees {frees} in the bucket.",
              {
                n: whole(preview.files),
                size: bytes(preview.bytes),
                frees: bytes(preview.frees),
              },
            )}
      </p>
      {preview.items.length > 0 && (
        <ul class="going">
          {preview.items.map((file) => (
            <li key={file.id} class="row">
              <span class="grow clip mono">{file.filename}</span>
              <span class="faint">{bytes(file.size)}</span>
            </li>
          ))}
        </ul>
      )}
    </Ask>
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
  return (
    <Ask
      title={t("New rule")}
      submit={t("Make the rule")}
      close={props.close}
      send={async () => {
        const rule = {
          kinds: [...chosen],
          ...(best && { best: { count: Number(best) } }),
          ...(last && { last: Number(last) }),
          ...(days && { days: Number(days) }),
        };
        await read(api.storage.rules.$post({ json: { name: name.trim(), rule, active } }));
        await props.made();
        props.close();
        toast(t("The rule was made. Preview it before you apply it."));
      }}
    >
      <TextField label={t("Name")} required maxLength={200} value={name} change={setName} />
      <fieldset class="row wrap plain">
        <legend>{t("Kinds of files")}</legend>
        {kinds.map((kind) => (
          <Check
            key={kind}
            label={kindText(kind)}
            checked={chosen.includes(kind)}
            change={(checked) =>
              setChosen(kinds.filter((one) => (one === kind ? checked : chosen.includes(one))))
            }
          />
        ))}
      </fieldset>
      <p class="muted">{t("A file stays if any of these keeps it:")}</p>
      <TextField
        label={t("Number of best runs of each group, by final loss, whose files stay")}
        {...{ type: "number", min: 1, value: best, change: setBest }}
      />
      <TextField
        label={t("Number of last files of each run that stay")}
        {...{ type: "number", min: 1, value: last, change: setLast }}
      />
      <TextField
        label={t("Days for which a new file stays")}
        {...{ type: "number", min: 0, value: days, change: setDays }}
      />
      <Check label={t("Apply it every day")} checked={active} change={setActive} />
    </Ask>
  );
}
