// Sets of fonts that the pages are tried with: how wide and high a text is depends on the machine's.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const dejavu = "/usr/share/fonts/truetype/dejavu";
const noto = process.env.NOTO_CJK_FONTS ?? "/usr/share/fonts/opentype/noto";

/** Folders of fonts by what a set is called: what Debian's Chromium brings along, and Noto CJK beside it. */
const sets = { plain: [dejavu], chinese: [dejavu, noto] };
export type Fonts = keyof typeof sets;

/** Whether this machine has all of a set. */
export const hasFonts = (fonts: Fonts) => sets[fonts].every((folder) => existsSync(folder));

const made = new Map<Fonts, string>();

/** A file for FONTCONFIG_FILE that knows this set alone; undefined where the machine lacks it: all it has counts. */
export function fontsFile(fonts: Fonts): string | undefined {
  const before = made.get(fonts);
  if (before || !hasFonts(fonts)) return before;
  const folder = mkdtempSync(join(tmpdir(), "lora-ledger-fonts-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "fonts.conf");
  const folders = sets[fonts].map((path) => `<dir>${path}</dir>`).join("\n  ");
  writeFileSync(
    file,
    `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  ${folders}
  <cachedir>/var/cache/fontconfig</cachedir>
  <cachedir>${folder}</cachedir>
  <include ignore_missing="yes">/etc/fonts/conf.d</include>
</fontconfig>
`,
  );
  made.set(fonts, file);
  return file;
}
