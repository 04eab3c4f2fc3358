/**
 * The catalogue of base architectures: one line for each, so that a trainer's file, a weights file and the
 * client (client/…/core/architectures.py is made from these lines) write one id for one architecture, and
 * grouping by `base_arch` does not split. Sizes, editions and edit models of one generation share an id
 * where trainers use one name for all of them: FLUX.2 dev and klein are `flux2`, Wan 2.1 and 2.2 are `wan`,
 * Stable Diffusion 3 and 3.5 are `sd3`, FLUX.1 Kontext is `flux`. base_model_path tells them apart.
 *
 * A name is words with blanks; each blank stands for no separator or one of `- _ .` and a blank. It begins
 * and ends a word: no letter before it, and no letter (after a digit: no digit) behind it. `*` before or
 * behind it lifts that, and `^` means the very beginning of a file's or a folder's name.
 */
type Architecture = {
  id: string;
  media: "image" | "video" | "audio" | "text";
  /** What trainers, metadata and the names of model files call it. */
  names: readonly string[];
  /** What only a trainer or a file's metadata calls it: too short to be looked for in a file's name. */
  spelled?: readonly string[];
};

/** The first line that matches wins, so that the more special ones come first. */
// biome-ignore format: a line is an architecture.
export const architectures: readonly Architecture[] = [
  { id: "zeta-chroma", media: "image", names: ["zeta chroma*"] },
  { id: "chroma", media: "image", names: ["chroma", "chroma hd*", "chroma unlocked*", "chroma radiance*"] },
  { id: "flux2", media: "image", names: ["flux 2"] },
  { id: "z-image", media: "image", names: ["z image*"] },
  { id: "lumina2", media: "image", names: ["lumina", "lumina image*", "neta lumina*"] },
  { id: "qwen-image", media: "image", names: ["qwen image*"] },
  { id: "hunyuan-video-1.5", media: "video", names: ["hunyuan video 1 5", "hunyuan video v1 5"], spelled: ["hv 1 5"] },
  { id: "framepack", media: "video", names: ["framepack*", "frame pack*", "hy framepack*"], spelled: ["fpack"] },
  { id: "hunyuan-video", media: "video", names: ["hunyuan video*"], spelled: ["hv"] },
  { id: "hunyuan-image-3", media: "image", names: ["hunyuan image 3"] },
  { id: "hunyuan-image", media: "image", names: ["hunyuan image*"] },
  { id: "hunyuan-dit", media: "image", names: ["hunyuan dit*"], spelled: ["hydit"] },
  { id: "wan", media: "video", names: ["wan 1*", "wan 2*", "wan video*"], spelled: ["wan"] },
  { id: "anima", media: "image", names: ["anima"] },
  { id: "hidream-o1", media: "image", names: ["hidream o1"] },
  { id: "hidream", media: "image", names: ["hidream*", "hi dream*"] },
  { id: "ltx-2", media: "video", names: ["ltx 2"] },
  { id: "ltx-video", media: "video", names: ["ltx video*", "ltxv*"], spelled: ["ltx"] },
  { id: "kandinsky5", media: "video", names: ["kandinsky 5*"] },
  { id: "kandinsky", media: "image", names: ["kandinsky*"] },
  { id: "cosmos-predict2", media: "image", names: ["cosmos predict 2*", "cosmos 2 image"] },
  { id: "cosmos3", media: "video", names: ["cosmos 3"] },
  { id: "cosmos", media: "video", names: ["cosmos 1*", "cosmos predict 1*"], spelled: ["cosmos"] },
  { id: "longcat-video", media: "video", names: ["longcat video*"] },
  { id: "longcat-image", media: "image", names: ["longcat image*"] },
  { id: "cogvideox", media: "video", names: ["cogvideo*"] },
  { id: "cogview4", media: "image", names: ["cogview 4*"] },
  { id: "mochi", media: "video", names: ["mochi 1*"], spelled: ["mochi"] },
  { id: "minimax-h3", media: "video", names: ["minimax h3*"] },
  { id: "ace-step", media: "audio", names: ["ace step*"] },
  { id: "stable-audio", media: "audio", names: ["stable audio*"] },
  { id: "heartmula", media: "audio", names: ["heartmula*"] },
  { id: "musicgen", media: "audio", names: ["musicgen*"] },
  { id: "pixart", media: "image", names: ["pixart*"] },
  { id: "sana-video", media: "video", names: ["sana video*"] },
  { id: "sana", media: "image", names: ["sana 1*", "sana sprint*", "sana 600m*"], spelled: ["sana"] },
  { id: "auraflow", media: "image", names: ["auraflow*", "aura flow*", "pony v7*"] },
  { id: "kolors", media: "image", names: ["kolors*"] },
  { id: "omnigen2", media: "image", names: ["omnigen 2*"] },
  { id: "omnigen", media: "image", names: ["omnigen*"] },
  { id: "krea2", media: "image", names: ["krea 2"] },
  { id: "ideogram4", media: "image", names: ["ideogram 4"] },
  { id: "ernie-image", media: "image", names: ["ernie image*"], spelled: ["ernie"] },
  { id: "nucleus-image", media: "image", names: ["nucleus image*"] },
  { id: "boogu-image", media: "image", names: ["boogu image*"] },
  { id: "ming-image", media: "image", names: ["ming image*"] },
  { id: "mage-flow", media: "image", names: ["mage flow*"] },
  { id: "f-lite", media: "image", names: ["f lite"] },
  { id: "fibo", media: "image", names: ["fibo"] },
  { id: "stable-cascade", media: "image", names: ["stable cascade*"] },
  { id: "wuerstchen", media: "image", names: ["wuerstchen*"] },
  { id: "deepfloyd", media: "image", names: ["deepfloyd*"] },
  // Flex.1 and Flex.2 are FLUX.1 with fewer blocks or more inputs.
  { id: "flux", media: "image", names: ["*flux*", "flex 1", "flex 2"] },
  { id: "sd3", media: "image", names: ["sd 3", "sd 35", "sd v3", "stable diffusion 3*", "stable diffusion v3*"] },
  { id: "sdxl", media: "image", names: ["*sd xl*", "stable diffusion xl*", "*illustrious*", "*noobai*", "pony*", "animagine*", "ssd 1b*", "segmind vega*"], spelled: ["xl", "ssd", "vega"] },
  { id: "sd2", media: "image", names: ["sd 2 1", "sd 2 0", "sd v2", "stable diffusion 2*", "stable diffusion v2*", "^v2-1"], spelled: ["sd 2", "sd 2x"] },
  { id: "sd15", media: "image", names: ["sd 1 5", "sd 1 4", "sd v1", "sd v1 5", "sd v1 4", "stable diffusion 1*", "stable diffusion v1*", "^v1-5"], spelled: ["sd 1", "sd 1x"] },
  { id: "llm", media: "text", names: ["*llama*", "mistral*", "mixtral*", "qwen*", "gemma*", "phi 1*", "phi 2*", "phi 3*", "phi 4*", "deepseek*", "smollm*", "internlm*", "baichuan*", "chatglm*", "glm 4*", "olmo*", "starcoder*", "pythia*", "gpt oss*", "gpt 2"], spelled: ["llm", "causal lm", "language model"] },
];

/** A name's regular expression, the same for JavaScript and Python; anchored, or anywhere in a text. */
function patternOf(name: string, isAnchored: boolean): string {
  const words = name.replace(/^[*^]|\*$/g, "");
  const before = isAnchored ? "^" : name.startsWith("^") ? "(?<![^/])" : "(?<![a-z])";
  const behind = name.endsWith("*") ? "" : /\d$/.test(words) ? "(?![0-9])" : "(?![a-z])";
  return (
    (name.startsWith("*") && !isAnchored ? "" : before) + words.replaceAll(" ", "[-_. ]?") + behind
  );
}

const anyOf = (names: readonly string[], isAnchored: boolean) =>
  names.map((name) => patternOf(name, isAnchored)).join("|");

/**
 * What a line is found by: `spelled` in what a trainer or a file's metadata states, `named` in the name of a
 * model; both lower case. The client's copy has the same texts.
 */
export const architecturePatterns = architectures.map(({ id, media, names, spelled = [] }) => ({
  id,
  media,
  spelled: anyOf([...names, ...spelled], true),
  named: anyOf(names, false),
}));

const found = architecturePatterns.map((line) => ({
  ...line,
  spelled: new RegExp(line.spelled),
  named: new RegExp(line.named),
}));

/** No name of an architecture is longer; nor is a path that the ledger keeps. */
export const LONGEST_SPELLING = 200;
export const LONGEST_NAME = 2000;

/**
 * The id of an architecture that a trainer's setting, `ss_base_model_version` or `modelspec.architecture`
 * states; what stands behind a slash or a colon is dropped (`flux-1-dev/lora`, `wan21:1b`).
 */
export function archOf(spelling: string | undefined): string | undefined {
  const text = (spelling ?? "")
    .slice(0, LONGEST_SPELLING)
    .toLowerCase()
    .replace(/^[^a-z0-9]+/, "")
    .replace(/[/:].*$/s, "");
  return found.find(({ spelled }) => spelled.test(text))?.id;
}

/**
 * The architecture that the file or hub name of a model tells, if it does: its last part first, then the
 * folders or the owner before it, which name no language model. `diffusion` leaves language models out.
 */
export function archOfName(name: string | undefined, kind?: "diffusion"): string | undefined {
  let path = (name ?? "").slice(-LONGEST_NAME).toLowerCase().replaceAll("\\", "/");
  while (path.endsWith("/")) path = path.slice(0, -1);
  const last = path.slice(path.lastIndexOf("/") + 1);
  const diffusion = found.filter(({ media }) => media !== "text");
  return (
    (kind === "diffusion" ? diffusion : found).find(({ named }) => named.test(last)) ??
    diffusion.find(({ named }) => named.test(path))
  )?.id;
}

/** Which kind of model an id stands for; undefined where the catalogue does not have it. */
export function modelTypeOf(id: string | undefined): "stable-diffusion" | "llm" | undefined {
  const media = architectures.find((one) => one.id === id)?.media;
  return media && (media === "text" ? "llm" : "stable-diffusion");
}
