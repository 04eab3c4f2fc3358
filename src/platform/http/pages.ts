/**
 * What a browser may do on the dashboard's pages: run and style by their own files alone, and talk to
 * this service alone. Sample images come from the bucket where its own signed links are used.
 */
const PAGES_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "manifest-src 'self'",
  "img-src 'self' data: https://*.r2.cloudflarestorage.com",
  "media-src 'self' https://*.r2.cloudflarestorage.com",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

/** Browsers heed it over https alone, and then come by no other way for a year. */
export const HSTS = "max-age=31536000";

/** Headers of every page of the dashboard. */
export const pageHeaders = {
  "Strict-Transport-Security": HSTS,
  "Content-Security-Policy": PAGES_CSP,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cache-Control": "no-cache",
};

/** Addresses that the dashboard's one page shows, beside `/` itself. */
const pagePath =
  /^\/(?:runs|new|compare|board|leaderboard|models|alerts|settings|sign-in)(?:\/[^.]*)?$/;

/** Below these programs ask, and get JSON. */
const programPath =
  /^\/(?:api|session|signed|share|healthz|mlflow|simple|packages|assets|docs|openapi\.json|client\.py)(?:\/|$)/;

/**
 * Whether a person opened an address that nothing has: the dashboard says so then. Browsers ask for HTML by
 * name where somebody opens an address; programs do not.
 */
export const isLostPerson = (method: string, path: string, accept: string | undefined) =>
  (method === "GET" || method === "HEAD") &&
  !programPath.test(path) &&
  /(?:^|,)\s*text\/html\b/i.test(accept ?? "");

/** Whether a browser that opens an address wants a page of the dashboard. */
export const isPage = (method: string, path: string) =>
  (method === "GET" || method === "HEAD") && pagePath.test(path);
