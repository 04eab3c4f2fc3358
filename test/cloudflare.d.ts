// What wrangler.toml binds, as `env` of cloudflare:workers has it in tests.
declare namespace Cloudflare {
  interface Env {
    BUCKET: R2Bucket;
    ASSETS: Fetcher;
    KEY_LIMIT: RateLimit;
    FAILURE_LIMIT: RateLimit;
  }
}

declare module "*.sql?raw" {
  const text: string;
  export default text;
}

declare module "*.ts?raw" {
  const text: string;
  export default text;
}

/** Vite's, of which tests use the eager form alone. */
interface ImportMeta {
  glob<T>(pattern: string, options: { eager: true }): Record<string, T>;
}
