import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { explainError } from "../../api.ts";
import { t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { Icon } from "../../ui/icon.tsx";
import { toast } from "../../ui/toast.tsx";
import { templatesQuery } from "./queries.ts";
import { decodeText, MOST_BYTES } from "./text.ts";

/** Reads a file that a person chose or dropped; says why where it cannot be taken. */
export async function takeFile(file: File, take: (text: string, name: string) => void) {
  try {
    if (file.size > MOST_BYTES) throw new Error(t("The file is over 4 MB."));
    take(decodeText(new Uint8Array(await file.arrayBuffer())), file.name);
  } catch (error) {
    toast(explainError(error), true);
  }
}

/** Where a run begins: a file of one's own, or a template. */
export function Begin({ take }: { take: (text: string, name: string) => void }) {
  const { params, go } = useAddress();
  const templates = useQuery(templatesQuery).data?.items ?? [];
  const [trainer, setTrainer] = useState(params.get("trainer") ?? "");
  const trainers = [...new Set(templates.map((one) => one.trainer))];
  const archs = templates.filter((one) => one.trainer === trainer);
  return (
    <div class="row wrap begin">
      <label class="button small">
        <Icon name="file" />
        {t("Open a file")}
        <input
          class="visually-hidden"
          type="file"
          onChange={(event) => {
            const [file] = event.currentTarget.files ?? [];
            event.currentTarget.value = "";
            if (file) void takeFile(file, take);
          }}
        />
      </label>
      <span class="muted">{t("or begin from a template")}</span>
      <select
        class="field small"
        aria-label={t("Trainer")}
        value={trainer}
        onChange={(event) => setTrainer(event.currentTarget.value)}
      >
        <option value="">{t("Trainer")}</option>
        {trainers.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
      <select
        class="field small"
        aria-label={t("Base architecture")}
        value={params.get("trainer") === trainer ? (params.get("arch") ?? "") : ""}
        disabled={trainer === ""}
        onChange={(event) => {
          const arch = event.currentTarget.value;
          if (arch)
            go(`/new?trainer=${encodeURIComponent(trainer)}&arch=${encodeURIComponent(arch)}`);
        }}
      >
        <option value="">{t("Base architecture")}</option>
        {archs.map(({ arch }) => (
          <option key={arch} value={arch}>
            {arch}
          </option>
        ))}
      </select>
    </div>
  );
}
