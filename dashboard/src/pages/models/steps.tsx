import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import { type Text, t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import type { Me, Model, ModelVersion } from "../../types.ts";
import { Ask } from "../../ui/dialog.tsx";
import { LongField } from "../../ui/form.tsx";
import { toast } from "../../ui/toast.tsx";
import { aliasesQuery, keys } from "./queries.ts";
import { isTheirs, PRODUCTION, type State, stateTexts } from "./states.ts";

export type Step = "submit" | "withdraw" | "approve" | "reject" | "release" | "retire";

export const stepTexts: Record<Step, Text> = {
  submit: "Submit for review",
  withdraw: "Withdraw",
  approve: "Approve",
  reject: "Reject",
  release: "Release",
  retire: "Retire",
};

/** What each step does, for whoever is about to take it. */
const explanations: Record<Step, Text> = {
  submit: "Someone else decides on the version. The model's checks must pass.",
  withdraw: "The version becomes a draft again and awaits no decision.",
  approve: "The evidence is kept as of now, and the file is never deleted from then on.",
  reject: "The version carries no alias from then on. The same file may become a new version.",
  release: "The alias production names this version from then on: whoever pulls it gets this file.",
  retire: "The version loses its aliases, production too. Its evidence, run and file stay.",
};

const after: Record<Step, State> = {
  submit: "in_review",
  withdraw: "draft",
  approve: "approved",
  reject: "rejected",
  release: "released",
  retire: "retired",
};

const stepsFrom: Record<State, Step[]> = {
  draft: ["submit"],
  in_review: ["approve", "reject", "withdraw"],
  approved: ["release", "retire"],
  released: ["retire"],
  rejected: [],
  retired: [],
};

/** The steps that a version may take by a caller; whether it is their own submission the server says. */
export const stepsFor = (me: Me, model: Model, version: ModelVersion) =>
  stepsFrom[version.state].filter((step) =>
    step === "submit" || step === "withdraw"
      ? isTheirs(me, version.created_by, model.created_by)
      : me.scopes.includes(
          step === "approve" || step === "reject" ? "models:approve" : "models:release",
        ),
  );

/** Asks for a step's reason, and takes the step. */
export function StepDialog(props: {
  step: Step;
  model: Model;
  version: ModelVersion;
  close: () => void;
}) {
  const { step, version, close } = props;
  const refresh = useRefresh();
  const [reason, setReason] = useState("");
  const live = useQuery(aliasesQuery(version.model)).data?.aliases.find(
    ({ alias }) => alias === PRODUCTION,
  );
  const param = { name: version.model, number: String(version.version) };
  const why = reason.trim();
  const take = async () => {
    const route = api.models[":name"].versions[":number"];
    const json = { reason: why || null };
    const seen = live && { headers: { "If-Match": `"${live.move_id}"` } };
    const taken: Record<Step, () => Promise<unknown>> = {
      submit: () => read(route.submit.$post({ param })),
      withdraw: () => read(route.withdraw.$post({ param })),
      approve: () => read(route.approve.$post({ param, json })),
      reject: () => read(route.reject.$post({ param, json: { reason: why } })),
      release: () => read(route.release.$post({ param, json }, seen)),
      retire: () => read(route.retire.$post({ param, json })),
    };
    try {
      await taken[step]();
      toast(t(stateTexts[after[step]]));
      close();
    } finally {
      await refresh(keys.models);
    }
  };
  return (
    <Ask
      title={`${t(stepTexts[step])}: ${version.model} · ${version.version}`}
      submit={t(stepTexts[step])}
      ready={step !== "reject" || why !== ""}
      close={close}
      send={take}
    >
      <p class="muted">{t(explanations[step])}</p>
      {step !== "submit" && step !== "withdraw" && (
        <LongField
          label={step === "reject" ? t("Why?") : t("Why? (optional)")}
          most={2000}
          value={reason}
          change={setReason}
        />
      )}
    </Ask>
  );
}
