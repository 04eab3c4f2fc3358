/*
 * Media of Trackio's client: bytes first, without a run; then the run and the step that they belong to.
 */
import { type Context, Hono } from "hono";
import { nameLoose, receiveLoose } from "../../files/loose.ts";
import { allow, requireKeyFrom } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { limitBody, notValid } from "../../platform/http/validate.ts";
import { pointAtFinal } from "../../runs/states.ts";
import { stepOf } from "../points.ts";
import { openRunOf, plainText, withRun } from "../runs.ts";
import { type Caption, captionsOf } from "./captions.ts";
import { argumentsOf, mediaCall, namedOf, trackioProblem } from "./form.ts";
import { key, keyOf } from "./key.ts";

/** Bytes of one upload: it is held in memory. */
const MOST_BYTES = 24_000_000;
/** Files of one upload. */
const MOST_FILES = 20;

/** The files of a multipart body. Throws ApiError 422. */
async function filesOf(c: Context<App>): Promise<File[]> {
  let form: FormData;
  try {
    form = await c.req.formData();
  } catch {
    throw notValid([{ path: "", message: "is no multipart form" }], "The body");
  }
  const files = form.getAll("files").filter((part): part is File => typeof part !== "string");
  if (files.length === 0 || files.length > MOST_FILES)
    throw notValid([{ path: "files", message: `must be 1 to ${MOST_FILES} files` }], "The body");
  return files;
}

const plainSegment = (text: string) =>
  text.replace(/[\p{Cc}\\/\ufffd]/gu, "_").slice(0, 100) || "_";

/** The name of a file of a run: its metric, its step, and its own name. */
function filenameOf(own: string, step: number, caption: Caption | undefined): string {
  const metric = (caption?.metric ?? "media").split("/").map(plainSegment);
  const folders = metric.filter((part) => part !== "." && part !== "..").slice(0, 4);
  return ["trackio", ...folders, String(step), plainSegment(own.split("/").at(-1) ?? "")]
    .join("/")
    .slice(-255)
    .replace(/^\/+/, "");
}

const write = allow("weights:write", { box: true });

export const trackioMedia = new Hono<App>()
  .onError(trackioProblem)
  .post("/upload", requireKeyFrom(keyOf), limitBody(MOST_BYTES), write, async (c) => {
    const paths: string[] = [];
    for (const file of await filesOf(c))
      paths.push(await receiveLoose(c, new Uint8Array(await file.arrayBuffer())));
    return c.json({ paths });
  })
  .post("/bulk_upload_media", ...key, write, async (c) => {
    const { uploads } = await argumentsOf(c, mediaCall);
    const known = new Map<number, Caption[]>();
    for (const upload of uploads) {
      const named = namedOf(upload);
      const open = () => openRunOf(c.var, named, { name: plainText(upload.run, 300) });
      await withRun(c.var, named, open, async ({ taskId }) => {
        const { path, orig_name } = upload.uploaded_file;
        const own = upload.relative_path || orig_name || path;
        const captions = known.get(taskId) ?? (await captionsOf(c.var.db, taskId));
        known.set(taskId, captions);
        const caption = captions.find(({ file }) => file === own.split("/").at(-1));
        const step = stepOf(upload.step ?? 0);
        await nameLoose(c, pointAtFinal, path, {
          ...{ taskId, kind: "sample", step },
          filename: filenameOf(own, step, caption),
          prompt: caption?.caption ?? null,
        });
      });
    }
    return c.json({ data: null });
  });
