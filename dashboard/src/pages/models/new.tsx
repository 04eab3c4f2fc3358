import { useInfiniteQuery } from "@tanstack/preact-query";
import { useId, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { api, read } from "../../api.ts";
import { useDraft } from "../../drafts.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import type { Weight } from "../../types.ts";
import { Ask } from "../../ui/dialog.tsx";
import { LongField, Segments, TextField } from "../../ui/form.tsx";
import { toast } from "../../ui/toast.tsx";
import { keys, modelsQuery } from "./queries.ts";

export const modelPath = (name: string) => `/models/${encodeURIComponent(name)}`;

/** Makes a model, as yet without a version. */
export function NewModel({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [, go] = useLocation();
  const [name, setName] = useState("");
  const [license, setLicense] = useState("");
  const about = useDraft("model.new");
  const leave = () => {
    about.end();
    close();
  };
  return (
    <Ask
      title={t("New model")}
      submit={t("Make the model")}
      ready={name.trim() !== ""}
      close={leave}
      send={async () => {
        const json = {
          name: name.trim(),
          description: about.text?.trim() || null,
          license: license.trim() || null,
        };
        const made = await read(api.models.$post({ json }));
        await refresh(keys.models);
        leave();
        go(modelPath(made.name));
      }}
    >
      <TextField label={t("Name")} value={name} change={setName} required maxLength={100} />
      <LongField
        label={t("Description (optional)")}
        most={20_000}
        value={about.text ?? ""}
        change={about.type}
      />
      <TextField
        label={t("License (optional)")}
        value={license}
        change={setLicense}
        maxLength={200}
      />
    </Ask>
  );
}

type File = Pick<Weight, "id" | "filename">;

/** Makes a file of a run the next version of a model, or the first of a new one. */
export function MakeVersion({ file, close }: { file: File; close: () => void }) {
  const refresh = useRefresh();
  const [, go] = useLocation();
  const list = useId();
  const models = useInfiniteQuery(modelsQuery);
  const [chosen, setChosen] = useState<"old" | "new" | null>(null);
  const isNew = (chosen ?? (models.data?.length === 0 ? "new" : "old")) === "new";
  const [name, setName] = useState("");
  const [license, setLicense] = useState("");
  const notes = useDraft(`version.${file.id}`);
  const leave = () => {
    notes.end();
    close();
  };
  // A model that was made before its version was refused is an old one at the next try.
  const [made, setMade] = useState("");
  return (
    <Ask
      title={t("Make a version")}
      submit={t("Make the version")}
      ready={name.trim() !== ""}
      close={leave}
      send={async () => {
        const model = name.trim();
        if (isNew && made !== model) {
          await read(api.models.$post({ json: { name: model } }));
          setMade(model);
        }
        const version = await read(
          api.models[":name"].versions.$post({
            param: { name: model },
            json: {
              weight_id: file.id,
              notes: notes.text?.trim() || null,
              license: license.trim() || null,
            },
          }),
        );
        await refresh(keys.models);
        toast(t("{model} · {n} is a draft", { model: version.model, n: version.version }));
        leave();
        go(modelPath(version.model));
      }}
    >
      <p class="muted">
        <span class="mono">{file.filename}</span>
      </p>
      <Segments
        label={t("Which model")}
        value={isNew ? "new" : "old"}
        options={[
          ["old", t("A model that exists")],
          ["new", t("A new model")],
        ]}
        choose={setChosen}
      />
      <label class="labelled">
        {t("Model")}
        <input
          class="field"
          required
          maxLength={100}
          list={isNew ? undefined : list}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <datalist id={list}>
        {models.data?.map((model) => (
          <option key={model.name} value={model.name} />
        ))}
      </datalist>
      <LongField
        label={t("Notes (optional)")}
        most={50_000}
        value={notes.text ?? ""}
        change={notes.type}
      />
      <TextField
        label={t("License (optional)")}
        value={license}
        change={setLicense}
        maxLength={200}
      />
      <p class="muted">{t("Someone else reviews the version before it is released.")}</p>
    </Ask>
  );
}
