import { archOfName, modelTypeOf } from "../shared/architectures.ts";
import { type Dialect, type Draft, type Input, isOn, toNumber, toText } from "./dialect.ts";
import { lookUp } from "./formats/objects.ts";

/** Which kind of model an adapter is for: PEFT says so for language models alone. */
function readModel(draft: Draft, { root }: Input, base: string | undefined) {
  const named = archOfName(base);
  const targets = toText(root.target_modules) ?? "";
  if (toText(root.task_type)) draft.set("model_type", "llm", "task_type");
  else if (named) draft.set("model_type", modelTypeOf(named), "base_model_name_or_path");
  else if (/\bto_[qkv]\b|to_out|add_[qkv]_proj/.test(targets))
    draft.set("model_type", "stable-diffusion", "target_modules");
  else if (/\b[qkv]_proj\b|c_attn|query_key_value/.test(targets))
    draft.set("model_type", "llm", "target_modules");
  if (draft.fields.model_type === "llm")
    draft.set("base_arch", "llm", draft.sources.model_type ?? "task_type");
  else draft.set("base_arch", archOfName(base, "diffusion"), "base_model_name_or_path");
}

/** Beside `peft_type`: methods that train prompts have neither rank nor modules. */
const marks = ["r", "target_modules", "task_type", "base_model_name_or_path", "inference_mode"];

/** A number of a method: its key and PEFT's default. */
type Setting = { key: string; otherwise?: number };
type Method = { rank?: Setting; alpha?: Setting; dropout?: Setting };

const rank = (otherwise: number, key = "r"): Method => ({ rank: { key, otherwise } });

const lora: Method = {
  ...rank(8),
  alpha: { key: "lora_alpha", otherwise: 8 },
  dropout: { key: "lora_dropout", otherwise: 0 },
};
const lycoris: Method = {
  ...rank(8),
  alpha: { key: "alpha", otherwise: 8 },
  dropout: { key: "module_dropout", otherwise: 0 },
};

/**
 * Methods by `peft_type`, with the defaults of their config classes in PEFT 0.21 (`tuners/<name>/config.py`).
 * What is not listed has no rank: FourierFT, C3A, (IA)³, layer norms, RoAd, OFT, prompts …
 */
const methods: { [type: string]: Method } = {
  lora,
  // It begins with init_r and prunes towards target_r; `r` is a leftover that it does not read.
  adalora: { ...lora, ...rank(12, "init_r") },
  loha: lycoris,
  lokr: lycoris,
  gralora: {
    ...rank(32),
    alpha: { key: "alpha", otherwise: 64 },
    dropout: { key: "gralora_dropout", otherwise: 0 },
  },
  randlora: {
    ...rank(32),
    alpha: { key: "randlora_alpha", otherwise: 640 },
    dropout: { key: "randlora_dropout", otherwise: 0 },
  },
  psoft: {
    ...rank(32),
    alpha: { key: "psoft_alpha", otherwise: 32 },
    dropout: { key: "psoft_dropout", otherwise: 0 },
  },
  vera: { ...rank(256), dropout: { key: "vera_dropout", otherwise: 0 } },
  pvera: { ...rank(256), dropout: { key: "pvera_dropout", otherwise: 0 } },
  vblora: { ...rank(4), dropout: { key: "vblora_dropout", otherwise: 0 } },
  unilora: { ...rank(4), dropout: { key: "unilora_dropout", otherwise: 0 } },
  tinylora: { ...rank(2), dropout: { key: "tinylora_dropout", otherwise: 0 } },
  miss: { ...rank(64), dropout: { key: "miss_dropout", otherwise: 0 } },
  bone: rank(64),
  hira: { ...rank(32), dropout: { key: "hira_dropout", otherwise: 0 } },
  delora: { ...rank(8), dropout: { key: "module_dropout", otherwise: 0 } },
  deft: { ...rank(8), dropout: { key: "deft_dropout", otherwise: 0 } },
  hra: rank(8),
  glora: rank(8),
  poly: rank(8),
  shadow: rank(8),
  shira: rank(32),
  lily: rank(32),
  peanut: rank(32),
  adamss: rank(100),
};

/** Methods that train no matrices of a rank, whatever numbers their files hold. */
const rankless = new Set(
  [
    "fourierft c3a ln_tuning road osf frod waveft beft adaption_prompt supertuning xlora ia3 oft hoft",
    "boft prompt_tuning p_tuning prefix_tuning multitask_prompt_tuning cpt cartridge trainable_tokens",
  ]
    .join(" ")
    .split(" "),
);

/** PEFT's `adapter_config.json`, which describes an adapter and not how it was trained. */
export const peft: Dialect = {
  trainer: "peft",
  recognise: ({ root }) =>
    typeof root.peft_type === "string" && marks.some((key) => key in root) ? "run" : null,
  source: ({ root }) => root,
  table: {
    model_type: { keys: [] },
    base_model_path: { keys: ["base_model_name_or_path"] },
    lora_rank: { keys: [] },
    lora_alpha: { keys: [] },
    dropout: { keys: [] },
    base_arch: { keys: [] },
    network_algo: { keys: [] },
  },
  refine: (draft, input) => {
    const type = toText(input.root.peft_type)?.toLowerCase() ?? "lora";
    if (isOn(input.root.use_dora)) draft.set("network_algo", "dora", "use_dora");
    else draft.set("network_algo", type, "peft_type");
    // Of a method that is newer than this list only what the file states is known.
    const method =
      lookUp(methods, type) ??
      (rankless.has(type)
        ? {}
        : { rank: { key: "r" }, alpha: { key: "lora_alpha" }, dropout: { key: "lora_dropout" } });
    for (const [column, setting] of [
      ["lora_rank", method.rank],
      ["lora_alpha", method.alpha],
      ["dropout", method.dropout],
    ] as const)
      if (setting && !draft.read(column, input.root[setting.key], setting.key))
        draft.otherwise(column, setting.otherwise);
    draft.readLokr({ rank: toNumber(input.root.r), rankKey: "r" });
    const base = draft.fields.base_model_path;
    readModel(draft, input, base);
  },
};
