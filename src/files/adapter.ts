/** One entry of a safetensors header; `begin` and `end` count from the first tensor's byte. */
export type Tensor = { name: string; dtype: string; shape: number[]; begin: number; end: number };

/** What the names and shapes of a file's tensors tell. `notes` are sentences about what it holds. */
export type AdapterShape = {
  rank: number | null;
  convRank: number | null;
  algorithm: string | null;
  /** The modules that have `rank`: their alpha is the file's. */
  linear: ReadonlySet<string>;
  notes: string[];
};

/** No trainer calls a tensor by a longer name. */
export const LONGEST_NAME = 1000;

/** A low-rank factor by its side: which of its extents is the rank, and whether it is a convolution's kernel. */
type Part = { ends: RegExp; algorithm: string; rank?: 0 | 1; use?: "up" | "kernel" };

/**
 * How the tensors of adapters end. The first line that matches counts. Sources: sd-scripts and musubi-tuner
 * (lora_down), PEFT (lora_A and its other tuners' prefixes), diffusers (lora.down, lora_linear_layer), XLabs
 * (qkv_lora1.down), mlx-lm (lora_a), LyCORIS (lora_mid, hada, lokr, oft_blocks, on_input, diff, lambda_layer),
 * ai-toolkit (magnitude). The client's imports/adapter.py has the same lines.
 */
const parts: Part[] = [
  {
    ends: /lora(?:_linear_layer|\d{1,3})?[._](?:down|A)(?:\.[\w-]{1,200})?\.weight$/,
    algorithm: "lora",
    rank: 0,
  },
  {
    ends: /lora(?:_linear_layer|\d{1,3})?[._](?:up|B)(?:\.[\w-]{1,200})?\.weight$/,
    algorithm: "lora",
    rank: 1,
    use: "up",
  },
  { ends: /\.lora_mid\.weight$/, algorithm: "lora", rank: 0, use: "kernel" },
  { ends: /\.lora_embedding_A(?:\.[\w-]{1,200})?$/, algorithm: "lora", rank: 0 },
  { ends: /\.lora_a$/, algorithm: "lora", rank: 1 },
  { ends: /\.lora_b$/, algorithm: "lora", rank: 0, use: "up" },
  { ends: /\.hada_w1_b$/, algorithm: "loha", rank: 0 },
  { ends: /\.hada_t1$/, algorithm: "loha", rank: 0, use: "kernel" },
  { ends: /\.hada_w1_a$/, algorithm: "loha", rank: 1, use: "up" },
  { ends: /\.hada_\w+$/, algorithm: "loha" },
  { ends: /\.lokr_w[12]_b$/, algorithm: "lokr", rank: 0 },
  { ends: /\.lokr_t[12]$/, algorithm: "lokr", rank: 0, use: "kernel" },
  { ends: /\.lokr_w[12]_a$/, algorithm: "lokr", rank: 1, use: "up" },
  { ends: /\.lokr_\w+$/, algorithm: "lokr" },
  { ends: /\.lambda_layer$/, algorithm: "tlora", rank: 1 },
  { ends: /\.boft_\w+$/, algorithm: "boft" },
  { ends: /\.oft_(?:blocks|diag|[Rr])(?:\.weight)?$/, algorithm: "oft" },
  { ends: /\.(?:on_input|ia3_l)$/, algorithm: "ia3" },
  { ends: /\.diff(?:_b)?$/, algorithm: "full" },
  {
    ends: /\.(?:dora_scale|magnitude|lora_magnitude_vector(?:\.[\w-]{1,200})?)$/,
    algorithm: "dora",
  },
];

/** PEFT's tuners whose prefix is their name; their ranks, where they have one, are not in a shape alike. */
const tuners =
  /\.(adamss|beft|c3a|deft|delora|fourierft|frod|gralora|hira|hra|lily|miss|peanut|psoft|pvera|randlora|road|shira|tinylora|unilora|vblora|vera|waveft)_\w+$/;

/** Which algorithm a file is of, where its tensors have marks of several. */
const strongest = ["lokr", "loha", "boft", "oft", "glora", "ia3", "tlora"];

/** GLoRA keeps four factors a module; only all together they are its mark. */
const isGlora = (module: string, names: ReadonlySet<string>) =>
  ["a1", "a2", "b1", "b2"].every((part) => names.has(`${module}.${part}.weight`));

/**
 * Whether a factor without a kernel of its own is of a convolution with one: its layer is called so, and the factor is
 * the 1×1 of a Tucker decomposition, or LoHa's and LoKr's, which flatten a 3×3 kernel into one extent.
 */
const isFlatKernel = (module: string, shape: number[]) =>
  /(?:^|[._])conv(?:_in|_out|\d)?$/.test(module) &&
  (shape.length > 2 || (shape[1] !== undefined && shape[1] % 9 === 0));

/** How often each value occurs, the most frequent first; of equals the first. */
export function frequencies<T>(values: Iterable<T>): [T, number][] {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

type Ranked = { rank: number; module: string };

/** Collects ranks and marks of algorithms over a file's tensors. */
function collect(tensors: readonly Tensor[]) {
  const names = new Set(tensors.map(({ name }) => name));
  const found = new Set<string>();
  const linear: Ranked[] = [];
  const ups: Ranked[] = [];
  const conv: Ranked[] = [];
  const kernels = new Set<string>();
  for (const { name, shape } of tensors) {
    const glora = /\.b(?:2|m)\.weight$/.exec(name);
    if (glora && isGlora(name.slice(0, glora.index), names)) {
      found.add("glora");
      const module = name.slice(0, glora.index);
      if (name.endsWith(".bm.weight")) kernels.add(module);
      (shape.slice(2).some((extent) => extent > 1) ? conv : linear).push({
        rank: shape[0] ?? 0,
        module,
      });
      continue;
    }
    let match: RegExpExecArray | null = null;
    const part = parts.find(({ ends }) => {
      match = ends.exec(name);
      return match;
    });
    if (!part) {
      // mlx-lm keeps DoRA's magnitudes under one letter, which means nothing by itself.
      if (name.endsWith(".m") && names.has(`${name.slice(0, -1)}lora_a`)) found.add("dora");
      const tuner = tuners.exec(name)?.[1];
      if (tuner) found.add(tuner);
      continue;
    }
    const isBoft = part.algorithm === "oft" && name.endsWith(".oft_blocks") && shape.length === 4;
    found.add(isBoft ? "boft" : part.algorithm);
    const rank = part.rank === undefined ? undefined : shape[part.rank];
    if (rank === undefined || shape.length < 2) continue;
    const module = name.slice(0, (match as RegExpExecArray | null)?.index).replace(/[._]$/, "");
    if (part.use === "kernel") {
      kernels.add(module);
      conv.push({ rank, module });
    } else if (part.use === "up") ups.push({ rank, module });
    // A kernel larger than 1×1 is a convolution; 1×1 is a linear layer in disguise.
    else if (
      shape.slice(2).some((extent) => extent > 1) ||
      ((part.algorithm !== "lora" || shape.length > 2) && isFlatKernel(module, shape))
    )
      conv.push({ rank, module });
    else linear.push({ rank, module });
  }
  // The factors beside a Tucker kernel look like a linear layer's.
  return { found, ups, conv, linear: linear.filter(({ module }) => !kernels.has(module)) };
}

const differing = (ranks: Ranked[], what: string): string[] => {
  const counts = frequencies(ranks.map(({ rank }) => rank));
  if (counts.length < 2) return [];
  const said = counts.slice(0, 5).map(([rank, count]) => `${rank} (${count})`);
  const more = counts.length > 5 ? ` and ${counts.length - 5} more` : "";
  return [
    `The file's ${what} have different ranks: ${said.join(", ")}${more}; the most frequent is taken.`,
  ];
};

/** diffusers saves an embedding under its token alone; no text encoder has fewer channels. */
const SMALLEST_EMBEDDING = 256;

/** What a file without an adapter holds, in a sentence; none where nothing tells. */
function explainOther(tensors: readonly Tensor[]): string[] {
  const isEmbedding = ({ name, shape }: Tensor) =>
    shape.length <= 2 &&
    (/^(?:emb_params|clip_[gl]|t5(?:xxl)?|text_encoders?_\d|string_to_param\..*)$/.test(name) ||
      (tensors.length === 1 && !name.includes(".") && (shape.at(-1) ?? 0) >= SMALLEST_EMBEDDING));
  if (tensors.length > 0 && tensors.every(isEmbedding))
    return ["The file holds embeddings and no adapter."];
  return tensors.some(({ name, shape }) => name.endsWith(".weight") && shape.length > 0)
    ? ["The file holds a model's own weights and no adapter."]
    : [];
}

/** Rank and algorithm from tensor names and shapes alone. */
export function readShapes(tensors: readonly Tensor[]): AdapterShape {
  const { found, ups, conv, linear } = collect(tensors);
  const ranked = linear.length > 0 ? linear : conv.length > 0 ? [] : ups;
  const rank = frequencies(ranked.map((entry) => entry.rank))[0]?.[0] ?? null;
  const marked = found.has("lora") ? (conv.length > 0 ? "locon" : "lora") : undefined;
  const tuner = [...found].find((name) => !["lora", "dora", "full"].includes(name));
  const algorithm =
    strongest.find((name) => found.has(name)) ??
    tuner ??
    (found.has("dora") ? "dora" : (marked ?? (found.has("full") ? "full" : null)));
  return {
    rank,
    convRank: frequencies(conv.map((entry) => entry.rank))[0]?.[0] ?? null,
    algorithm,
    linear: new Set(ranked.filter((entry) => entry.rank === rank).map(({ module }) => module)),
    notes:
      algorithm === null
        ? explainOther(tensors)
        : [...differing(ranked, "modules"), ...differing(conv, "convolutions")],
  };
}

/** The object of a metadata string that holds JSON; empty where it is another. */
export const jsonOf = (text: string | undefined): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
};

/** sd-scripts' algorithms whose tensors are named and shaped as LoRA's or OFT's. */
export function refineAlgorithm(
  algorithm: string | null,
  metadata: Record<string, string> | null,
): string | null {
  const module = metadata?.ss_network_module ?? "";
  const args = jsonOf(metadata?.ss_network_args).algo;
  const stated = typeof args === "string" ? args.toLowerCase() : "";
  if (algorithm === "lora" || algorithm === "locon") {
    if (stated === "dylora" || /(?:^|\.)dylora$/.test(module)) return "dylora";
    if (/(?:^|\.)lora_fa$/.test(module)) return "lora-fa";
  }
  return algorithm === "oft" && stated === "diag-oft" ? stated : algorithm;
}

/** Whether LyCORIS scaled by the rank's root: then the tensors keep alpha times that root, and not the setting. */
export const isRankStabilised = (metadata: Record<string, string> | null): boolean =>
  /^true$/i.test(String(jsonOf(metadata?.ss_network_args).rs_lora));

/**
 * The alpha that metadata states: diffusers' `lora_adapter_metadata` has flat keys, the component before them
 * (`transformer.lora_alpha`), and OneTrainer's `ot_config` its own.
 */
export function alphaInMetadata(metadata: Record<string, string> | null): number | null {
  const stated = jsonOf(metadata?.lora_adapter_metadata);
  const key = Object.keys(stated)
    .filter((name) => name === "lora_alpha" || name.endsWith(".lora_alpha"))
    .sort()
    .at(-1);
  const alphas = [
    key === undefined ? undefined : stated[key],
    jsonOf(metadata?.ot_config).lora_alpha,
  ];
  const alpha = alphas.find((value) => typeof value === "number" && Number.isFinite(value));
  return typeof alpha === "number" ? alpha : null;
}

/** Where the names are PEFT's, only prefixes of diffusion models say that no file beside it has the alpha. */
const diffusionKey =
  /^(?:diffusion_model|unet|text_encoders?(?:_\d)?|(?:single_|double_)?(?:transformer_)?blocks|transformer(?!\.h\.))[._]/;

/**
 * Whether a file that has no alpha at all means alpha = rank, as every loader of such files takes it. An adapter of
 * PEFT's own layout keeps its alpha in adapter_config.json, so that nothing can be said of it.
 */
export const impliesRank = (names: readonly string[]): boolean =>
  names.every((name) => !name.startsWith("base_model.")) &&
  names.every((name) => !/\blora_[AB]\b|\.lora_[ab]$/.test(name) || diffusionKey.test(name));
