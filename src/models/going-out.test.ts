import { env } from "cloudflare:workers";
import { sql } from "drizzle-orm";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { costOf } from "../../test/harness.ts";
import { openRegistry } from "../../test/registry.ts";
import { png, upload } from "../../test/uploads.ts";

const { ledger, anna, carla, newModel, newRun, newWeight, addVersion, act, approved, setAlias } =
  await openRegistry();

const get = (path: string, headers: Record<string, string> = {}, key = anna) =>
  ledger.request(path, { key, headers });

const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer());

const sha256 = async (bytes: Uint8Array<ArrayBuffer>) =>
  Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

describe("download", () => {
  it("gives what an alias names, and nothing when it has not changed", async () => {
    const name = await newModel();
    const version = await approved(name);
    await setAlias(name, "production", version, carla);
    const link = await ledger.call(`/api/models/${name}/production/download?redirect=false`, {
      key: anna,
    });
    expect(link).toMatchObject({
      model: name,
      version,
      state: "released",
      filename: "aki.safetensors",
    });
    expect(await sha256(await bytesOf(await ledger.request(link.url)))).toBe(link.sha256);
    const redirected = await get(`/api/models/${name}/${version}/download`);
    expect(redirected.status).toBe(302);
    expect(redirected.headers.get("ETag")).toBe(`"${link.sha256}"`);
    expect(redirected.headers.get("Location")).not.toContain(anna);
    const again = await get(`/api/models/${name}/production/download`, {
      "If-None-Match": `"x", W/"${link.sha256}"`,
    });
    expect(again.status).toBe(304);
    expect(costOf(again)).toMatchObject({ trips: 1, written: 0 });
    await setAlias(name, "production", await approved(name), carla);
    const moved = await get(`/api/models/${name}/production/download`, {
      "If-None-Match": `"${link.sha256}"`,
    });
    expect(moved.status).toBe(302);
  });

  it("goes on while the alias is taken away, and then says so", async () => {
    const name = await newModel();
    await setAlias(name, "trial", await addVersion(name), anna);
    const { url } = await ledger.call(`/api/models/${name}/trial/download?redirect=false`, {
      key: anna,
    });
    await ledger.call(`/api/models/${name}/aliases/trial`, { method: "DELETE", key: anna }, 204);
    expect((await ledger.request(url)).status).toBe(200);
    const gone = await ledger.call(`/api/models/${name}/trial/download`, { key: anna }, 404);
    expect(gone.detail).toContain("it was removed");
  });

  it("goes on when weight and run were deleted, and says when the bytes are lost", async () => {
    const name = await newModel();
    const task = await newRun();
    const weight = await newWeight({}, task);
    await approved(name, weight.id);
    await ledger.call(`/api/weights/${weight.id}`, { method: "DELETE", key: anna }, 204);
    await ledger.call(`/api/tasks/${task}`, { method: "DELETE", key: anna }, 204);
    const { url } = await ledger.call(`/api/models/${name}/1/download?redirect=false`, {
      key: anna,
    });
    expect(await sha256(await bytesOf(await ledger.request(url)))).toBe(weight.sha256);
    await env.BUCKET.delete(new URL(url).pathname.replace("/signed/", ""));
    const { type } = await ledger.call(`/api/models/${name}/1/download`, { key: anna }, 409);
    expect(type).toContain("file-gone");
  });

  it("answers what was live at a time", async () => {
    const name = await newModel();
    const [one, two] = [await approved(name), await approved(name)];
    const before = new Date(Date.now() - 60_000).toISOString();
    await setAlias(name, "production", one, carla);
    const first = await ledger.call(`/api/models/${name}/production`, { key: anna });
    expect(first).toMatchObject({ version: one, alias: "production", until: null });
    await new Promise((done) => setTimeout(done, 20));
    await setAlias(name, "production", two, carla);
    const now = await ledger.call(`/api/models/${name}/production`, { key: anna });
    expect(now).toMatchObject({ version: two, until: null });
    const then = await ledger.call(`/api/models/${name}/production?at=${first.since}`, {
      key: anna,
    });
    expect(then).toMatchObject({ version: one, since: first.since, until: now.since });
    await ledger.call(`/api/models/${name}/production?at=${before}`, { key: anna }, 404);
    await ledger.call(`/api/models/${name}/production?at=yesterday`, { key: anna }, 422);
    await ledger.call(
      `/api/models/${name}/aliases/production`,
      { method: "DELETE", key: carla },
      204,
    );
    await ledger.call(`/api/models/${name}/production`, { key: anna }, 404);
    const still = await ledger.call(`/api/models/${name}/production?at=${now.since}`, {
      key: anna,
    });
    expect(still.version).toBe(two);
  });
});

describe("public links", () => {
  const makeShare = (name: string, json: object, status = 200) =>
    ledger.call(`/api/models/${name}/shares`, { key: carla, json }, status);

  it("give approved versions to anyone, and are counted", async () => {
    const name = await newModel();
    const version = await addVersion(name);
    expect((await makeShare(name, { target: version }, 409)).detail).toContain("only approved");
    await act(name, version, "submit", anna);
    expect(
      (await ledger.call(`/api/models/${name}/shares`, { key: anna, json: { target: 1 } }, 403))
        .detail,
    ).toContain("models:release");
    await makeShare(name, { target: "production" }, 404);
    const good = await approved(name);
    await setAlias(name, "production", good, carla);
    const { url, id } = await makeShare(name, { target: "production", label: "for the shop" });
    expect(url).toMatch(/\/share\/[\w-]{43}$/);
    const head = await ledger.request(url, { method: "HEAD" });
    expect(head.status).toBe(302);
    const link: { url: string; sha256: string } = await (
      await ledger.request(`${url}?redirect=false`)
    ).json();
    expect(await sha256(await bytesOf(await ledger.request(link.url)))).toBe(link.sha256);
    const unchanged = await ledger.request(url, {
      headers: { "If-None-Match": `"${link.sha256}"` },
    });
    expect(unchanged.status).toBe(304);
    const { items } = await ledger.call(`/api/models/${name}/shares`, { key: anna });
    expect(items).toMatchObject([
      { id, target: "production", label: "for the shop", downloads: 1 },
    ]);
    expect(JSON.stringify(items)).not.toContain(url.split("/").at(-1));
    // Whatever the alias names then: nothing while it names none.
    await ledger.call(
      `/api/models/${name}/aliases/production`,
      { method: "DELETE", key: carla },
      204,
    );
    expect((await ledger.request(url)).status).toBe(409);
    await setAlias(name, "production", good, carla);
    await ledger.call(`/api/models/${name}/shares/${id}`, { method: "DELETE", key: carla }, 204);
    await ledger.call(`/api/models/${name}/shares/${id}`, { method: "DELETE", key: carla }, 404);
    expect((await ledger.request(url)).status).toBe(410);
    expect((await ledger.request(`${url}x`)).status).toBe(404);
  });

  it("end by time and by number, also when many come at once", async () => {
    const name = await newModel();
    await approved(name);
    const few = await makeShare(name, { target: 1, max_downloads: 3 });
    const many = await Promise.all(
      Array.from({ length: 12 }, () => ledger.request(`${few.url}?redirect=false`)),
    );
    expect(many.filter((r) => r.status === 200)).toHaveLength(3);
    expect(many.filter((r) => r.status === 410)).toHaveLength(9);
    const short = await makeShare(name, { target: 1, days: 0.000_01 });
    await new Promise((done) => setTimeout(done, 1000));
    expect((await ledger.request(short.url)).status).toBe(410);
  });
});

describe("model cards", () => {
  it("say what a hub wants to know, with all that people wrote as text", async () => {
    const evil =
      '# Title\n<script>alert("x")</script> [a](javascript:1) `c` | *b*\n---\nlicense: gpl';
    const task = await newRun({
      task_name: evil.slice(0, 200),
      base_model_path: "./sd-models/sd_xl_base_1.0.safetensors",
      learning_rate: 1e-4,
      trainer: "kohya",
    });
    await ledger.call(`/api/tasks/${task}/datasets`, {
      method: "PUT",
      key: anna,
      json: {
        datasets: [
          {
            name: "10_aki",
            image_count: 10,
            tag_distribution: { aki: 10, "white hat": 9, tree: 2 },
          },
        ],
      },
    });
    const sample = await upload(ledger, anna, task, png(), {
      filename: "sample/a.png",
      kind: "sample",
      prompt: "aki: a [portrait]",
    });
    const weight = await newWeight({}, task);
    const name = await newModel({
      description: evil,
      license: 'mit: "x"\nbase_model: evil',
      tags: { "kind: [": "style" },
    });
    await addVersion(name, weight.id);
    const response = await get(`/api/models/${name}/versions/1/card`);
    expect(response.headers.get("Content-Type")).toContain("text/markdown");
    const card = await response.text();
    const [, front = "", ...body] = card.split(/^---$/m);
    const markdown = body.join("---");
    expect(parse(front)).toMatchObject({
      license: 'mit: "x"\nbase_model: evil',
      base_model: "stabilityai/stable-diffusion-xl-base-1.0",
      base_model_relation: "adapter",
      library_name: "diffusers",
      pipeline_tag: "text-to-image",
      tags: ["lora", "sdxl", "template:sd-lora", "kind: [:style"],
      instance_prompt: "aki, white hat",
      widget: [{ text: "aki: a [portrait]", output: { url: expect.stringContaining("/signed/") } }],
    });
    expect(markdown).toContain("`aki`, `white hat`");
    expect(markdown).toContain("![aki: a \\[portrait\\]](<http");
    expect(markdown).not.toMatch(/(?<!\\)<script|^(> )?# Title|\]\(javascript|^(---|license)/m);
    expect(markdown).toContain(`| SHA-256 | ${weight.sha256} |`);
    const [, url = ""] = markdown.match(/\]\(<([^>]+)>\)/) ?? [];
    expect((await ledger.request(url)).headers.get("Content-Type")).toBe("image/png");
    const relative = await ledger.call(
      `/api/models/${name}/versions/1/card?images=relative&format=json`,
      { key: anna },
    );
    expect(relative.trigger_words).toEqual(["aki", "white hat"]);
    expect(relative.card).toContain(`(<images/${sample.id}-a.png>)`);
    expect(relative.samples).toMatchObject([
      { weight_id: sample.id, file: `images/${sample.id}-a.png` },
    ]);
  });

  it("find trigger words in the file itself, or in the folder's name", async () => {
    const words = async (task: number) => {
      const name = await newModel();
      await addVersion(name, (await newWeight({}, task)).id);
      return (await ledger.call(`/api/models/${name}/versions/1/card?format=json`, { key: anna }))
        .trigger_words;
    };
    const folder = await newRun();
    await ledger.call(`/api/tasks/${folder}/datasets`, {
      method: "PUT",
      key: anna,
      json: { datasets: [{ name: "10_sks dog", image_count: 3 }] },
    });
    expect(await words(folder)).toEqual(["sks dog"]);
    const file = await newRun();
    const header = JSON.stringify({
      ss_tag_frequency: JSON.stringify({ "5_x": { ohwx: 20, man: 19, hat: 1 } }),
      ss_dataset_dirs: JSON.stringify({ "5_x": { n_repeats: 5, img_count: 20 } }),
    });
    const weight = await newWeight({}, file);
    await ledger.db.run(
      sql`update stored_object set metadata = ${header} where sha256 = ${weight.sha256}`,
    );
    const name = await newModel();
    await addVersion(name, weight.id);
    const card = await ledger.call(`/api/models/${name}/versions/1/card?format=json`, {
      key: anna,
    });
    expect(card.trigger_words).toEqual(["ohwx", "man"]);
    expect(await words(await newRun())).toEqual([]);
  });
});

describe("lineage", () => {
  it("leads from runs and data to models and back, and tells what they cost", async () => {
    const [grandparent, other] = [await newRun(), await newRun()];
    const parent = await newRun({ parent_task_id: grandparent });
    const child = await newRun({ parent_task_id: parent });
    await ledger.db.run(
      sql`update training_task set cost = id where id in (${grandparent}, ${parent}, ${child})`,
    );
    for (const task of [parent, child])
      await ledger.call(`/api/tasks/${task}/datasets`, {
        method: "PUT",
        key: anna,
        json: { datasets: [{ name: "d", image_count: 6, content_hash: "lineage" }] },
      });
    const name = await newModel();
    await addVersion(name, (await newWeight({}, child)).id);
    await addVersion(name, (await newWeight({}, parent)).id);
    const ids = (runs: { id: number }[]) => runs.map((run) => run.id);
    const numbers = (versions: { version: number }[]) => versions.map((v) => v.version);
    const of = await ledger.call(`/api/tasks/${parent}/lineage`, { key: anna });
    expect([ids(of.ancestors), ids(of.descendants), numbers(of.versions)]).toEqual([
      [grandparent],
      [child],
      [2, 1],
    ]);
    const top = await ledger.call(`/api/tasks/${grandparent}/lineage`, { key: anna });
    expect([ids(top.ancestors), ids(top.descendants), numbers(top.versions)]).toEqual([
      [],
      [parent, child],
      [2, 1],
    ]);
    const none = await ledger.call(`/api/tasks/${other}/lineage`, { key: anna });
    expect(none).toMatchObject({ ancestors: [], descendants: [], versions: [] });
    const version = await ledger.call(`/api/models/${name}/versions/1`, { key: anna });
    expect(version.cost).toEqual({ run: child, lineage: grandparent + parent + child });
    const [dataset] = version.datasets;
    const used = await ledger.call(`/api/datasets/${dataset.id}/versions?limit=1`, { key: anna });
    expect(numbers(used.items)).toEqual([2]);
    const rest = await ledger.call(
      `/api/datasets/${dataset.id}/versions?limit=1&cursor=${used.next_cursor}`,
      { key: anna },
    );
    expect([numbers(rest.items), rest.next_cursor]).toEqual([[1], null]);
  });

  it("survives runs that are each other's parents", async () => {
    const [one, two] = [await newRun(), await newRun()];
    await ledger.db.run(sql`update training_task set parent_task_id = ${two} where id = ${one}`);
    await ledger.db.run(sql`update training_task set parent_task_id = ${one} where id = ${two}`);
    const { ancestors, descendants } = await ledger.call(`/api/tasks/${one}/lineage`, {
      key: anna,
    });
    expect([ancestors.length, descendants.length]).toEqual([1, 1]);
    const name = await newModel();
    await addVersion(name, (await newWeight({}, one)).id);
    await ledger.call(`/api/models/${name}/versions/1`, { key: anna });
  });

  it("compares versions: settings, metrics and samples side by side", async () => {
    const name = await newModel();
    const logs = (loss: number) => [{ step: 1, metrics: { loss } }];
    for (const [rank, loss] of [
      [8, 0.3],
      [16, 0.2],
    ] as const) {
      const { task_id } = await ledger.call("/api/tasks", {
        key: anna,
        json: { task_name: "r", lora_rank: rank, batch_size: 2 },
      });
      await ledger.call(`/api/tasks/${task_id}/heartbeat`, {
        key: anna,
        json: { seq: 1, logs: logs(loss) },
      });
      await ledger.call(`/api/tasks/${task_id}/finish`, { key: anna, json: { status: "success" } });
      await upload(ledger, anna, task_id, png(), {
        filename: "s.png",
        kind: "sample",
        prompt: "aki",
      });
      await addVersion(name, (await newWeight({}, task_id)).id);
    }
    const compare = `/api/models/${name}/compare?versions=`;
    const response = await get(`${compare}2,1`);
    expect(costOf(response)).toMatchObject({ trips: 1, written: 0 });
    const found = await response.json<{ samples: { images: unknown[][] }[] }>();
    expect(found).toMatchObject({
      versions: [{ version: 2 }, { version: 1 }],
      differs: { lora_rank: [16, 8], final_loss: [0.2, 0.3] },
      agrees: { batch_size: 2, file_rank: 4 },
      metrics: { loss: [{ last: 0.2 }, { last: 0.3 }] },
      samples: [{ prompt: "aki", images: [[{}], [{}]] }],
    });
    await ledger.call(`${compare}1,9`, { key: anna }, 404);
    for (const wrong of ["1", "1,x", "0,1", "1,2,3,4,5,6,7,8,9,10,11"])
      await ledger.call(compare + wrong, { key: anna }, 422);
  });
});
