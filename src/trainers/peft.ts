import { archOfName, modelTypeOf } from "../shared/architectures.ts";
import { type Dialect, type Input, isOn, toText } from "./dialect.ts";

/** Which kind of model an adapter is for: PEFT says so for language models alone. */
function modelTypeOfAdapter({ root }: Input, base: string | undefined) {
  if (toText(root.task_type)) return "llm";
  const known = modelTypeOf(archOfName(base));
  if (known) return known;
  const targets = toText(root.target_modules) ?? "";
  if (/\bto_[qkv]\b|to_out|add_[qkv]_proj/.test(targets)) return "stable-diffusion";
  return /\b[qkv]_proj\b|c_attn|query_key_value/.test(targets) ? "llm" : undefined;
}

/** PEFT's `adapter_config.json`, which describes an adapter and not how it was trained. */
export const peft: Dialect = {
  trainer: "peft",
  recognise: ({ root }) =>
    typeof root.peft_type === "string" && ("r" in root || "target_modules" in root) ? "run" : null,
  source: ({ root }) => root,
  table: {
    model_type: { keys: [] },
    base_model_path: { keys: ["base_model_name_or_path"] },
    lora_rank: { keys: ["r"], otherwise: 8 },
    lora_alpha: { keys: ["lora_alpha", "alpha"], otherwise: 8 },
    dropout: { keys: ["lora_dropout", "module_dropout"], otherwise: 0 },
    base_arch: { keys: [] },
    network_algo: { keys: [] },
  },
  refine: (draft, input) => {
    const type = toText(input.root.peft_type)?.toLowerCase() ?? "lora";
    draft.set("network_algo", isOn(input.root.use_dora) ? "dora" : type);
    if (type === "oft" && input.root.r === 0) draft.noDefault("lora_rank");
    const base = draft.fields.base_model_path;
    draft.set("model_type", modelTypeOfAdapter(input, base));
    draft.set(
      "base_arch",
      draft.fields.model_type === "llm" ? "llm" : archOfName(base, "diffusion"),
    );
  },
};
