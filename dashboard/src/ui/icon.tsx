/** Paths on a 16 × 16 grid, drawn as lines. */
const paths = {
  runs: "M2 4h12M2 8h12M2 12h7",
  compare: "M3 13V6m5 7V3m5 10V8",
  board: "M2.5 2.5h4.5v5H2.5zM9 2.5h4.5v3H9zM9 8h4.5v5.5H9zM2.5 10H7v3.5H2.5z",
  trophy:
    "M5 2.5h6v4a3 3 0 0 1-6 0zM5 4H2.8c0 2 .8 3.2 2.4 3.4M11 4h2.2c0 2-.8 3.2-2.4 3.4M8 9.5V12m-2.5 1.5h5",
  models: "M8 1.8 13.5 5v6L8 14.2 2.5 11V5zM2.5 5 8 8.2 13.5 5M8 8.2v6",
  bell: "M4 6.5a4 4 0 0 1 8 0c0 3.5 1.2 4.5 1.2 4.5H2.8S4 10 4 6.5M6.6 13.2a1.5 1.5 0 0 0 2.8 0",
  settings: "M2 4.5h7m3 0h2M2 11.5h2m3 0h7M9 2.8v3.4M7 9.8v3.4",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9m3.3-1.2L14 14",
  columns: "M2.5 2.5h11v11h-11zM6.2 2.5v11M9.8 2.5v11",
  group: "M2.5 3.5h11M5 8h8.5M5 12.5h8.5M2.5 8v.01M2.5 12.5v.01",
  close: "m4 4 8 8m0-8-8 8",
  check: "m3 8.5 3.2 3L13 4.5",
  down: "m4 6 4 4 4-4",
  up: "m4 10 4-4 4 4",
  left: "M10 4 6 8l4 4",
  right: "m6 4 4 4-4 4",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  copy: "M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8V3",
  download: "M8 2.5v7.5m-3-3 3 3 3-3M2.5 13.5h11",
  stop: "M4 4h8v8H4z",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5V5h-2.5",
  trash: "M3 4.5h10M6.5 4.5v-2h3v2M4.2 4.5l.6 9h6.4l.6-9",
  edit: "m3 13 .6-2.8L10.8 3l2.2 2.2-7.2 7.2z",
  warn: "M8 2.3 14.2 13H1.8zM8 6.5v3m0 1.8v.01",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12m0-6.5v3.5M8 5v.01",
  plus: "M8 3v10M3 8h10",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6M8 1.5v1.2m0 10.6v1.2M1.5 8h1.2m10.6 0h1.2M3.4 3.4l.9.9m7.4 7.4.9.9m0-9.2-.9.9m-7.4 7.4-.9.9",
  key: "M5.2 13a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4m2-4.6L13 2.8m-2.4 2.4 1.8 1.8",
  user: "M8 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M3.2 13.5c.4-2.6 2.2-4 4.8-4s4.4 1.4 4.8 4",
  link: "M6.5 9.5 9.5 6.5M7 4.7l1.4-1.4a2.6 2.6 0 0 1 3.8 3.8L10.8 8.5M9 11.3l-1.4 1.4a2.6 2.6 0 0 1-3.8-3.8L5.2 7.5",
  box: "M2.5 4h11v8h-11zM5 7h.01M5 9.5h6",
  play: "M5 3.2v9.6L12.5 8z",
  out: "M6 2.5H2.5v11H6M10.5 11l3-3-3-3M13 8H6",
  zoom: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  image: "M2.5 3h11v10h-11zM2.5 11l3.5-3.5 3 3 2-2 2.5 2.5M10.5 6v.01",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  star: "m8 2 1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5z",
} as const;

export type IconName = keyof typeof paths;

export const Icon = ({ name }: { name: IconName }) => (
  <svg class="icon-svg" viewBox="0 0 16 16" aria-hidden="true">
    <path d={paths[name]} />
  </svg>
);
