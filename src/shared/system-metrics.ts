/** The load of one GPU, in the order in which it is shown: percent, MiB, °C, watts. */
const gpuFigures = ["util", "mem_mb", "temp_c", "power_w"] as const;
/** The machine's other figures: percent, MiB, GiB and MB/s. */
const machineFigures = [
  "sys.cpu",
  "sys.mem_mb",
  "sys.mem_total_mb",
  "sys.disk_free_gb",
  "sys.spool_free_gb",
  "sys.net_in_mb_s",
  "sys.net_out_mb_s",
] as const;

export type GpuFigure = (typeof gpuFigures)[number];
export type MachineFigure = (typeof machineFigures)[number];

/** The most figures of the machine that an attempt has besides its metrics: those of 48 GPUs. */
export const MOST_SYSTEM_METRICS = 200;

/** Which GPU's load a series is, and which part of it; null of another series. */
export function gpuFigureOf(name: string): { gpu: number; figure: GpuFigure } | null {
  const [, gpu, part] = name.match(/^gpu\.(\d{1,3})\.(\w+)$/) ?? [];
  const figure = gpuFigures.find((one) => one === part);
  return gpu === undefined || figure === undefined ? null : { gpu: Number(gpu), figure };
}

/**
 * Whether a series is a figure of the machine that the client samples, not one of training: it has its
 * own page, takes no place from the metrics, and ranks nothing.
 */
export const isSystemMetric = (name: string): boolean =>
  gpuFigureOf(name) !== null || machineFigures.some((one) => one === name);
