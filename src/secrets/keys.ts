/**
 * Whole key names whose values are secrets, in lower case with `_`; `-` and `_` are alike when
 * they are looked up. An explicit list, because guessing by a part of the name would take
 * `class_tokens`, `max_token_length` or `pad_token` for secrets.
 */
const names = `
  token auth_token authtoken access_token refresh_token bearer_token api_token apitoken id_token
  session_token personal_access_token bot_token secret_token authorization x_api_key
  api_key apikey api_secret access_key access_key_id secret secret_key secret_access_key
  client_secret private_key encryption_key signing_key
  password passwd passphrase pwd user_password admin_password

  hf_token hf_api_token hf_api_key hf_hub_token huggingface_token huggingface_api_key
  huggingface_api_token huggingface_hub_token hugging_face_token hugging_face_hub_token
  huggingfacehub_api_token hub_token push_to_hub_token ms_hub_token om_hub_token
  modelscope_token modelscope_api_token modelscope_sdk_token civitai_token civitai_api_key
  civitai_api_token
  wandb_api_key wandb_key wandb_token comet_api_key neptune_api_token swanlab_api_key
  swanlab_lark_secret swanlab_lark_webhook_url clearml_api_access_key clearml_api_secret_key
  mlflow_tracking_password mlflow_tracking_token trackio_token
  openai_api_key azure_openai_api_key anthropic_api_key gemini_api_key google_api_key
  openrouter_api_key mistral_api_key groq_api_key together_api_key deepseek_api_key
  dashscope_api_key cohere_api_key replicate_api_token fireworks_api_key nvidia_api_key ngc_api_key
  aws_access_key_id aws_secret_access_key aws_session_token s3_access_key s3_secret_key
  s3_secret_access_key r2_access_key_id r2_secret_access_key minio_secret_key
  minio_root_password azure_storage_key azure_client_secret b2_application_key
  cloudflare_api_token
  github_token gh_token github_pat gitlab_token gitlab_private_token
  runpod_api_key vast_api_key vastai_api_key lambda_api_key paperspace_api_key modal_token_secret
  telegram_token telegram_bot_token discord_token discord_bot_token slack_token slack_bot_token
  discord_webhook discord_webhook_url slack_webhook slack_webhook_url feishu_webhook
  feishu_webhook_url lark_webhook_url lark_webhook_secret webhook_secret
  jwt_secret jwt_secret_previous ledger_key lora_ledger_key turso_auth_token database_auth_token
  db_password database_password mysql_password mysql_pwd postgres_password pgpassword
  redis_password smtp_password ssh_password sudo_password root_password jupyter_token
  jupyter_password notebook_token ngrok_authtoken ngrok_auth_token tailscale_authkey ts_authkey
  proxy_password civitai_key
`;

/** Words of ordinary prose as well, so a value needs more than standing behind them in a text. */
const proseKeys = new Set(["token", "secret", "pwd", "authorization", "access_key", "id_token"]);

/** A key of the list; `prose` when it is an everyday word too. */
export type SecretKey = { name: string; prose: boolean };

const byName = new Map<string, SecretKey>();
for (const name of names.split(/\s+/).filter(Boolean))
  byName.set(name, { name, prose: proseKeys.has(name) });

export const longestKey = Math.max(...Array.from(byName.keys(), (name) => name.length));

/** A key's unit as it counts for comparing: lower case, `_` for `-`. */
const fold = (unit: number) => (unit === 45 ? 95 : unit >= 65 && unit <= 90 ? unit | 32 : unit);
const step = (hash: number, unit: number) => Math.imul(hash ^ unit, 16777619);

const byHash = new Map<number, SecretKey>();
for (const key of byName.values()) {
  let hash = 0;
  for (let i = 0; i < key.name.length; i++) hash = step(hash, key.name.charCodeAt(i));
  // Two names with one hash would hide each other; the list's tests look every name up.
  byHash.set(hash, key);
}

/**
 * `endings[last * 64 + length]`: a cheap no for almost every key before it is hashed.
 */
const endings = new Uint8Array(128 * 64);
for (const { name } of byName.values())
  endings[name.charCodeAt(name.length - 1) * 64 + name.length] = 1;

/** The secret key that stands at [from, to) of the units, looked up without making a string. */
export function secretKeyAt(
  units: ArrayLike<number>,
  from: number,
  to: number,
): SecretKey | undefined {
  const length = to - from;
  if (length < 1 || length > longestKey) return undefined;
  const last = fold(units[to - 1] ?? 0);
  if (last > 127 || endings[last * 64 + length] !== 1) return undefined;
  let hash = 0;
  for (let i = from; i < to; i++) hash = step(hash, fold(units[i] ?? 0));
  const key = byHash.get(hash);
  if (key === undefined || key.name.length !== length) return undefined;
  for (let i = 0; i < length; i++)
    if (key.name.charCodeAt(i) !== fold(units[from + i] ?? 0)) return undefined;
  return key;
}

/** The secret key of this name, if its values are secrets. */
export const secretKey = (key: string): SecretKey | undefined =>
  key.length > longestKey ? undefined : byName.get(key.toLowerCase().replaceAll("-", "_"));

const nothing = new Set([
  ...["null", "none", "nil", "undefined", "false", "true", "yes", "no", "on", "off", "~"],
]);
/** References and blanks to fill in: `${HF_TOKEN}`, `%TOKEN%`, `<your token>`, `your_key_here`. */
const placeholder =
  /^(?:\$\{\w+\}|\$\w*[A-Z_]{3}\w*|\{\{[^{}]*\}\}|%\w+%|<[^<>]*>|your[-_ ][\w -]*|x{3,}|\*{3,})$/i;

/** Whether a value under a secret key is worth hiding; empty values and references are not. */
export function isSecretValue(value: string, key: SecretKey): boolean {
  const text = value.trim();
  if (!/[a-z0-9\u0080-\uffff]/i.test(text)) return false;
  if (text.length <= 9 && nothing.has(text.toLowerCase())) return false;
  if ("[${%<yYxX*".includes(text.charAt(0))) {
    if (text.startsWith("[redacted") || (text.length < 200 && placeholder.test(text))) return false;
  }
  // A count of tokens is a number, a password of digits is a password.
  return !(key.prose && text.length <= 12 && /^[-+\d._e]*$/i.test(text));
}
