/** Model names that tell their architecture, the more special ones first. */
const names: [RegExp, string][] = [
  [/flux[-_. ]?2/, "flux2"],
  [/flux|flex[-_.]?1/, "flux"],
  [/chroma/, "chroma"],
  [/lumina/, "lumina2"],
  [/z[-_]?image/, "z-image"],
  [/qwen[-_]?image/, "qwen-image"],
  [/hunyuan[-_]?video/, "hunyuan-video"],
  [/hunyuan[-_]?image/, "hunyuan-image"],
  [/(?:^|[^a-z])wan[-_. ]?\d/, "wan"],
  [/(?:^|[^a-z])anima(?:[^a-z]|$)/, "anima"],
  [/hidream/, "hidream"],
  [/sd[-_]?3|stable[-_]diffusion[-_]3/, "sd3"],
  [/sd[-_]?xl|stable[-_]diffusion[-_]xl|illustrious|noobai|(?:^|[^a-z])pony/, "sdxl"],
  [/stable[-_]diffusion[-_]v?2|(?:^|[^\w])v2-1|sd[-_]?v?2[-_.]?1/, "sd2"],
  [/stable[-_]diffusion[-_]v?1|v1-5|sd[-_]?v?1[-_.]?5/, "sd15"],
];

/** The base architecture a model's file or hub name tells, if it does. */
export function archOfName(name: string | undefined): string | undefined {
  const lower = (name ?? "").toLowerCase();
  return names.find(([pattern]) => pattern.test(lower))?.[1];
}
