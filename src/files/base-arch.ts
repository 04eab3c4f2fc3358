import { archOf } from "../shared/architectures.ts";
import { jsonOf, type Tensor } from "./adapter.ts";

/** Modules of sd-scripts and musubi-tuner that train one architecture alone; lora_flux has FLUX.1 and Chroma. */
const ownModule =
  /(?:^|\.)lora_(sd3|lumina|hunyuan_image|anima|wan|framepack|flux_2|hv_1_5|qwen_image|zimage)$/;

/** Cross attention of a U-Net: its keys see the text encoder's channels. */
const crossAttention =
  /[._]attn2[._]to_k[._](?:lora[._])?(?:lora_)?(?:down|A)(?:\.\w{1,50})?\.weight$/;
const unetBlock = /(?:down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block)[._]/;
const languageModel =
  /\.(?:layers|h|blocks)\.\d+\.(?:self_attn|self_attention|attn|attention|mlp|linear_attn)\.(?:[qkvo]_proj|qkv_proj|(?:gate|up|down|gate_up)_proj|c_attn|query_key_value)\./;

/** An architecture whose tensors nothing else has by the same names and shapes; other layouts are shared. */
function archOfTensors(tensors: readonly Tensor[]): string | null {
  let channels: number | undefined;
  let isLanguageModel = false;
  let isOther = false;
  let hasSecondEncoder = false;
  for (const { name, shape } of tensors) {
    if (/^(?:double|single)_blocks\.\d+\.processor\.\w+lora\d?\./.test(name)) return "flux";
    if (crossAttention.test(name) && unetBlock.test(name)) channels ??= shape[1];
    hasSecondEncoder ||= /^(?:lora_te2_|text_encoder_2\.)/.test(name);
    if (/^(?:base_model\.model|model)\./.test(name)) {
      isLanguageModel ||= languageModel.test(name);
      isOther ||= /\.(?:text_model|encoder|decoder)\./.test(name);
    } else isOther = true;
  }
  if (isLanguageModel && !isOther) return "llm";
  if (channels === 768) return "sd15";
  if (channels === 1024) return "sd2";
  // Kolors' U-Net sees as many channels, but its LoRAs train no second text encoder.
  return channels === 2048 && hasSecondEncoder ? "sdxl" : null;
}

/**
 * The architecture that the metadata states (`ss_base_model_version`, `modelspec.architecture`, OneTrainer's
 * `model_type`, a network module of one architecture), else that of an adapter's tensors. Null where it is not certain.
 */
export function baseArchOf(
  tensors: readonly Tensor[],
  metadata: Record<string, string> | null,
  isAdapter: boolean,
): string | null {
  const type = jsonOf(metadata?.ot_config).model_type;
  for (const said of [
    metadata?.ss_base_model_version,
    metadata?.["modelspec.architecture"],
    typeof type === "string" ? type : undefined,
    ownModule.exec(metadata?.ss_network_module ?? "")?.[1],
  ]) {
    const arch = archOf(said);
    if (arch !== undefined) return arch;
  }
  return isAdapter ? archOfTensors(tensors) : null;
}
