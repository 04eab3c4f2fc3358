import { archOf } from "../shared/architectures.ts";
import type { JsonValue } from "../shared/json.ts";
import { about, type FileFacts } from "./safetensors.ts";

export type Mismatch = { field: string; file: JsonValue; task: JsonValue };

/** The settings of a task that a file can contradict. */
export type TaskSettings = {
  loraRank: number | null;
  convLoraRank: number | null;
  loraAlpha: number | null;
  networkAlgo: string | null;
  baseArch: string | null;
};

/** Algorithms that a file can distinguish; those of one family are saved alike. */
const families: Record<string, string> = {
  lora: "lora",
  qlora: "lora",
  rslora: "lora",
  locon: "lora",
  "lora-fa": "lora",
  dylora: "lora",
  dora: "dora",
  loha: "loha",
  lokr: "lokr",
  oft: "oft",
  "diag-oft": "oft",
  boft: "boft",
  glora: "glora",
  ia3: "ia3",
  full: "full",
  "native fine-tuning": "full",
};

/** Where the file and its task's settings differ; what either does not say cannot differ. */
export function compareWithTask(
  file: Omit<FileFacts, "metadata" | "warnings">,
  task: TaskSettings,
): Mismatch[] {
  const family = (name: string | null) => families[name?.toLowerCase() ?? ""];
  const differing: [string, JsonValue, JsonValue, boolean][] = [
    ["lora_rank", file.rank, task.loraRank, file.rank !== task.loraRank],
    ["conv_lora_rank", file.convRank, task.convLoraRank, file.convRank !== task.convLoraRank],
    ["lora_alpha", file.alpha, task.loraAlpha, !about(file.alpha ?? 0, task.loraAlpha ?? 0)],
    [
      "network_algo",
      family(file.algorithm) ? file.algorithm : null,
      family(task.networkAlgo) ? task.networkAlgo : null,
      family(file.algorithm) !== family(task.networkAlgo),
    ],
    [
      ...(["base_arch", file.baseArch, task.baseArch] as const),
      // A person may have registered another spelling of the same architecture.
      file.baseArch !== (archOf(task.baseArch ?? "") ?? task.baseArch),
    ],
  ];
  return differing.flatMap(([field, inFile, inTask, differs]) =>
    inFile !== null && inTask !== null && differs ? [{ field, file: inFile, task: inTask }] : [],
  );
}
