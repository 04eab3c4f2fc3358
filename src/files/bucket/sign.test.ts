import { describe, expect, it } from "vitest";
import { hexToBase64, presign } from "./s3.ts";
import { signUrl, verifyUrl } from "./sign.ts";

const secrets = { JWT_SECRET: "a secret for signing that is long enough" };
const inAnHour = Math.floor(Date.now() / 1000) + 3600;

const signed = (params: Record<string, string>, expires = inAnHour) =>
  signUrl(secrets, "http://ledger.test", { method: "PUT", key: "w/1/abc", expires, params });

/** Checks a URL as the route does. */
function check(url: string, method: "PUT" | "GET" = "PUT", as = secrets) {
  const { pathname, searchParams } = new URL(url);
  return verifyUrl(as, { method, key: pathname.replace("/signed/", ""), query: searchParams });
}

describe("the Worker's own signed URLs", () => {
  it("give back what was signed", async () => {
    const params = await check(await signed({ size: "10", name: "ein LoRA (fü).safetensors" }));
    expect(Object.fromEntries(params)).toMatchObject({
      size: "10",
      name: "ein LoRA (fü).safetensors",
    });
  });

  it("bind every part of the request", async () => {
    const url = await signed({ upload: "u1", part: "3", size: "10", sha256: "ab" });
    const changed: ((u: URL) => void)[] = [
      (u) => u.searchParams.set("upload", "u2"),
      (u) => u.searchParams.set("part", "4"),
      (u) => u.searchParams.set("size", "11"),
      (u) => u.searchParams.set("sha256", "ac"),
      (u) => u.searchParams.set("expires", String(inAnHour + 1)),
      (u) => u.searchParams.delete("part"),
      (u) => u.searchParams.append("part", "3"),
      (u) => u.searchParams.set("extra", "1"),
      (u) => u.searchParams.delete("signature"),
      (u) => u.searchParams.set("signature", ""),
      (u) => u.searchParams.set("signature", "%%%"),
      (u) => u.searchParams.append("signature", u.searchParams.get("signature") ?? ""),
      (u) => {
        u.pathname = "/signed/w/1/abd";
      },
    ];
    for (const change of changed) {
      const other = new URL(url);
      change(other);
      await expect(check(other.toString()), String(change)).rejects.toMatchObject({
        status: 403,
        code: "signature-not-valid",
      });
    }
    await expect(check(url, "GET")).rejects.toMatchObject({ code: "signature-not-valid" });
    await expect(check(url)).resolves.toBeTruthy();
  });

  it("end, and say so", async () => {
    const url = await signed({ size: "1" }, Math.floor(Date.now() / 1000) - 1);
    await expect(check(url)).rejects.toMatchObject({ status: 403, code: "url-expired" });
  });

  it("outlive a rotation of the secret, and nothing else", async () => {
    const url = await signed({ size: "1" });
    const next = { JWT_SECRET: "another secret that is quite long enough" };
    const rotated = { ...next, JWT_SECRET_PREVIOUS: secrets.JWT_SECRET };
    await expect(check(url, "PUT", rotated)).resolves.toBeTruthy();
    await expect(check(url, "PUT", next)).rejects.toMatchObject({ status: 403 });
  });
});

describe("presigned S3 URLs", () => {
  const s3 = {
    base: "https://examplebucket.s3.amazonaws.com",
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region: "us-east-1",
  };

  it("give AWS's published example (API reference, query string authentication)", async () => {
    const url = await presign(s3, {
      method: "GET",
      key: "test.txt",
      expires: 86400,
      datetime: "20130524T000000Z",
    });
    expect(new URL(url).searchParams.get("X-Amz-Signature")).toBe(
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    );
  });

  it("sign the headers that keep an upload from replacing or changing a file", async () => {
    const url = await presign(s3, {
      method: "PUT",
      key: "w/1/abc",
      expires: 60,
      headers: { "If-None-Match": "*", "x-amz-checksum-sha256": hexToBase64("00ff") },
    });
    const query = new URL(url).searchParams;
    expect(query.get("X-Amz-SignedHeaders")).toBe("host;if-none-match;x-amz-checksum-sha256");
    expect(query.get("X-Amz-Expires")).toBe("60");
  });
});
