import { base64url } from "jose";
import type { Secrets } from "../../platform/auth/keys.ts";
import { refuse } from "../../platform/http/problem.ts";

/**
 * Signed URLs of the Worker itself, for ledgers without S3 credentials:
 * `<base>/signed/<object key>?…&expires=<unix seconds>&signature=<base64url>`. The signature is an
 * HMAC-SHA-256 over the method, the object key and every parameter, so none can be changed, added
 * or left out. Its key is derived from JWT_SECRET by HKDF for this purpose alone: a signature here
 * is good for nothing else, and no JWT's signature is good here.
 */
const PURPOSE = "lora-ledger signed url v1";

const encoder = new TextEncoder();
const keys = new Map<string, Promise<CryptoKey>>();

/** Derived once an isolate: a key is plain data, not I/O. */
function signingKey(secret: string): Promise<CryptoKey> {
  const known = keys.get(secret);
  if (known) return known;
  const made = crypto.subtle
    .importKey("raw", encoder.encode(secret), "HKDF", false, ["deriveKey"])
    .then((base) =>
      crypto.subtle.deriveKey(
        { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encoder.encode(PURPOSE) },
        base,
        { name: "HMAC", hash: "SHA-256", length: 256 },
        false,
        ["sign", "verify"],
      ),
    );
  keys.set(secret, made);
  return made;
}

export type SignedMethod = "PUT" | "GET";

/** What is signed: one text for one request, whatever the order of its parameters. */
const canonical = (method: SignedMethod, key: string, params: [string, string][]) =>
  encoder.encode(
    JSON.stringify([method, key, params.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))]),
  );

/** Signs one request: method, object key, parameters, and `expires` in unix seconds. */
export async function signUrl(
  secrets: Secrets,
  base: string,
  request: { method: SignedMethod; key: string; expires: number; params: Record<string, string> },
): Promise<string> {
  const params: [string, string][] = [
    ...Object.entries(request.params),
    ["expires", String(request.expires)],
  ];
  const signature = await crypto.subtle.sign(
    "HMAC",
    await signingKey(secrets.JWT_SECRET),
    canonical(request.method, request.key, params),
  );
  const query = new URLSearchParams(params);
  query.append("signature", base64url.encode(new Uint8Array(signature)));
  return `${base}/signed/${request.key}?${query}`;
}

/**
 * Checks a signed request in constant time and gives its parameters without the signature. Throws
 * ApiError 403: `signature-not-valid`, or `url-expired` for one that was good once. `now` in ms.
 */
export async function verifyUrl(
  secrets: Secrets,
  request: { method: SignedMethod; key: string; query: URLSearchParams },
  now = Date.now(),
): Promise<Map<string, string>> {
  const params = [...request.query].filter(([name]) => name !== "signature");
  const given = request.query.getAll("signature");
  const invalid = refuse("signature-not-valid", {});
  if (given.length !== 1 || new Set(params.map(([name]) => name)).size !== params.length)
    throw invalid;
  let signature: Uint8Array;
  try {
    signature = base64url.decode(given[0] ?? "");
  } catch {
    throw invalid;
  }
  const text = canonical(request.method, request.key, params);
  let good = false;
  for (const secret of [secrets.JWT_SECRET, secrets.JWT_SECRET_PREVIOUS])
    if (secret && !good)
      good = await crypto.subtle.verify("HMAC", await signingKey(secret), signature, text);
  if (!good) throw invalid;
  const known = new Map(params);
  if (!(Number(known.get("expires")) * 1000 > now)) throw refuse("url-expired", {});
  return known;
}
