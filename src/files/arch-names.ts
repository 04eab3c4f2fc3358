/** ss_base_model_version (sd-scripts, musubi) and modelspec.architecture, by their beginnings. */
export const archs: [RegExp, string][] = [
  [/^sdxl|^stable-diffusion-xl/i, "sdxl"],
  [/^sd_?v?1|^stable-diffusion-v1/i, "sd15"],
  [/^sd_?v?2|^stable-diffusion-v2/i, "sd2"],
  [/^sd_?3|^stable-diffusion-v?3/i, "sd3"],
  [/^chroma/i, "chroma"],
  [/^flux[-_. ]?2/i, "flux2"],
  [/^flux/i, "flux"],
  [/^lumina/i, "lumina2"],
  [/^hunyuan-?image/i, "hunyuan-image"],
  [/^hunyuan-?video/i, "hunyuan-video"],
  [/^qwen-?image/i, "qwen-image"],
  [/^wan/i, "wan"],
  [/^anima/i, "anima"],
  [/^z-?image/i, "z-image"],
];
