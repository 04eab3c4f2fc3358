/**
 * What counts as a secret. The one list for the service and for the Python client, whose
 * `redact_rules.py` `node scripts/redact-rules.ts` writes from it; a test holds both equal.
 */

const words = (text: string) => text.split(/\s+/).filter(Boolean);

/** Whole key names in lower case with `_` whose values are secrets, whatever the values look like. */
const names = words(`
  token auth_token authtoken access_token refresh_token bearer_token api_token apitoken id_token
  session_token personal_access_token bot_token secret_token authorization x_api_key
  proxy_authorization private_token x_auth_token
  api_key apikey api_secret access_key access_key_id secret secret_key secret_access_key
  client_secret private_key encryption_key signing_key account_key shared_access_key
  shared_access_signature
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
  proxy_password civitai_key x_amz_signature x_amz_credential x_amz_security_token
  x_goog_signature x_goog_credential awsaccesskeyid requirepass sshpass authkey auth_key
  smtp_pass mail_pass db_pass mysql_pass postgres_pass redis_pass ssh_pass ssh_pw ftp_pass
  http_pass proxy_pass sudo_pass root_pass root_pw admin_pass user_pass login_pass box_pass
`);

/** Words of ordinary prose as well: a value needs more than to follow one of them in a text. */
const prose = words("token secret pwd authorization access_key id_token");

/** Last words of a name that make its values secrets, whatever precedes them: `db_password`, `my-api-key`. */
const cores = words(`
  password passwd passphrase passcode apikey authtoken secret
  api_key access_key secret_key private_key account_key signing_key encryption_key auth_key
  api_token access_token auth_token bearer_token refresh_token session_token bot_token api_secret
`);

/** Before `token` or `key` at a name's end, these make it a secret: `s3_key`, `gh-token`. */
const issuers = words(`
  hf huggingface hub wandb civitai civit s3 aws r2 b2 gcs gcp azure minio oss cos openai anthropic
  claude gemini openrouter mistral groq deepseek dashscope qwen moonshot zhipu replicate fal
  stability runpod vast vastai lambda paperspace modal github gh gitlab bitbucket docker npm pypi
  telegram tg discord slack feishu lark dingtalk wecom jwt ledger turso modelscope swanlab comet
  neptune clearml kaggle ngrok tailscale cloudflare cf sentry stripe twilio sendgrid mailgun
  personal deploy pushover bark serverchan oauth service admin master bot
`);

/** Last words of a name under which a value is a secret only when it looks like one. */
const weak = words(
  "token key webhook pat credential credentials creds auth sendkey license_key session sessionid",
);

/** Names with one of these words before `token` or `key` name no secret. */
const harmless = words(`
  class pad eos bos unk mask sep cls image img video audio text vision placeholder trigger special
  instance num max min keep stop start system caption tag extra additional initializer
  public cache object primary foreign sort partition dedupe idempotency storage state dict map
  weight weights tensor hash group metric content idem lookup
  run model trace request job step file layer bucket dedup item row node sample
`);

/** Words that may follow the core of a name: `api_token_prod`, `password2`. */
const suffixes = words(`
  prod production dev development staging stage test live old new main backup default value plain
  raw text primary secondary current previous prev
  a b v1 v2 v3 0 1 2 3 4 5 6 7 8 9
`);

/** Keys of a URL's query whose values are secrets; the ones of `names` are besides. */
const query = words(`
  sig signature x_amz_signature x_amz_credential x_amz_security_token x_goog_signature
  x_goog_credential awsaccesskeyid key auth authkey hapikey q_signature
`);

/** Keys that name a setting, and those that hold its value: `{"name": "HF_TOKEN", "value": …}`. */
const pairNames = words("name key variable var env env_name field option header setting");
const pairValues = words("value val default secret_value content");

/** Values that say there is none. */
const nothing = words("null none nil undefined false true yes no on off ~ unset empty str string");

/** Words that follow `password:` in sentences. */
const sentence = words(`
  required incorrect invalid expired missing wrong must should is was are for the a an please not
  cannot field reset changed updated saved ok hidden prompt authentication protected accepted
  rejected denied failed unknown unsupported and or in to of with does enter your set needed
`);

/** Names of secrets in Chinese texts; `密码` and `口令` are passwords, which are shorter than keys. */
const chinese = words("密码 口令 密钥 令牌");

/** Classes of characters, as ranges. */
const classes = {
  alnum: "0-9A-Za-z",
  upper: "0-9A-Z",
  hex: "0-9a-f",
  uuid: "0-9a-f-",
  word: "0-9A-Za-z_",
  name: "0-9A-Za-z_-",
  dotted: "0-9A-Za-z_.-",
  bearer: "0-9A-Za-z._~+/=-",
  base64: "0-9A-Za-z+/=_-",
} as const;
export type CharClass = keyof typeof classes;

/**
 * Tokens known by their first letters, then at least `min` characters of a class; `exact`: no
 * other letter, digit or `_` follows these. Of a prefix that ends with a blank the words stay.
 */
const shapes: [prefix: string, min: number, of: CharClass, exact?: 1][] = [
  ["hf_", 20, "alnum"],
  ["hf_oauth_", 20, "dotted"],
  ["api_org_", 20, "alnum"],
  ["sk-proj-", 20, "name"],
  ["sk-svcacct-", 20, "name"],
  ["sk-admin-", 20, "name"],
  ["sk-ant-", 20, "name"],
  ["sk-or-v1-", 20, "name"],
  ["sk-", 20, "alnum"],
  ["sk_live_", 16, "alnum"],
  ["sk_test_", 16, "alnum"],
  ["rk_live_", 16, "alnum"],
  ["whsec_", 24, "base64"],
  ["ghp_", 20, "alnum"],
  ["gho_", 20, "alnum"],
  ["ghu_", 20, "alnum"],
  ["ghs_", 20, "alnum"],
  ["ghr_", 20, "alnum"],
  ["github_pat_", 20, "word"],
  ["glpat-", 16, "dotted"],
  ["gldt-", 16, "name"],
  ["glrt-", 16, "name"],
  ["gsk_", 30, "alnum"],
  ["xai-", 40, "alnum"],
  ["pplx-", 40, "alnum"],
  ["tvly-", 20, "name"],
  ["AKIA", 16, "upper", 1],
  ["ASIA", 16, "upper", 1],
  ["AKID", 28, "alnum", 1],
  ["LTAI", 12, "alnum", 1],
  ["AIza", 35, "name"],
  ["ya29.", 20, "dotted"],
  ["GOCSPX-", 20, "name"],
  ["xoxb-", 10, "name"],
  ["xoxp-", 10, "name"],
  ["xoxa-", 10, "name"],
  ["xoxr-", 10, "name"],
  ["xoxs-", 10, "name"],
  ["xoxe-", 10, "name"],
  ["xapp-", 10, "name"],
  ["nvapi-", 20, "name"],
  ["npm_", 30, "alnum"],
  ["rpa_", 30, "alnum"],
  ["r8_", 30, "alnum"],
  ["wandb_v1_", 20, "word"],
  ["pypi-AgE", 30, "name"],
  ["dckr_pat_", 20, "name"],
  ["dop_v1_", 40, "alnum"],
  ["doo_v1_", 40, "alnum"],
  ["ms-", 36, "uuid", 1],
  ["ak-", 20, "alnum", 1],
  ["as-", 20, "alnum", 1],
  ["SG.", 40, "dotted"],
  ["shpat_", 30, "alnum"],
  ["lin_api_", 30, "alnum"],
  ["figd_", 30, "name"],
  ["dapi", 32, "hex", 1],
  ["hvs.", 24, "name"],
  ["tskey-", 16, "name"],
  ["enrol-", 64, "hex", 1],
  ["Bearer ", 16, "bearer"],
  ["bearer ", 16, "bearer"],
  ["wandb login ", 32, "word"],
  ["wandb login --relogin ", 32, "word"],
];

/** Places in URLs whose last part is the secret. */
const webhooks = [
  "hooks.slack.com/services/",
  "hooks.slack.com/workflows/",
  "hooks.slack.com/triggers/",
  "discord.com/api/webhooks/",
  "discordapp.com/api/webhooks/",
  "ptb.discord.com/api/webhooks/",
  "canary.discord.com/api/webhooks/",
  "open.feishu.cn/open-apis/bot/",
  "open.larksuite.com/open-apis/bot/",
  "qyapi.weixin.qq.com/cgi-bin/webhook/send?key=",
  "oapi.dingtalk.com/robot/send?access_token=",
  "api.telegram.org/bot",
  "sctapi.ftqq.com/",
  "api.day.app/",
  "maker.ifttt.com/trigger/",
  "outlook.office.com/webhook/",
];

/**
 * Options of programs that take a secret under no name of their own: `curl -u user:password`.
 * `glued`: also, or for `mysql` only, without a blank (`-pSECRET`). `pair`: a value without `:`
 * or `%` is a user's name alone. `sub`: the program's command that has the option.
 */
type Program = {
  program: string;
  options: string[];
  form: "apart" | "glued" | "both";
  pair?: true;
  sub?: string;
};
const programs: Program[] = [
  { program: "curl", options: ["-u", "--user", "-U", "--proxy-user"], form: "both", pair: true },
  { program: "sshpass", options: ["-p"], form: "both" },
  { program: "mysql", options: ["-p"], form: "glued" },
  { program: "mysqldump", options: ["-p"], form: "glued" },
  { program: "mariadb", options: ["-p"], form: "glued" },
  { program: "docker", options: ["-p"], form: "both", sub: "login" },
  { program: "podman", options: ["-p"], form: "both", sub: "login" },
  { program: "redis-cli", options: ["-a"], form: "apart" },
  { program: "smbclient", options: ["-U"], form: "apart", pair: true },
  { program: "7z", options: ["-p"], form: "glued" },
  { program: "unzip", options: ["-P"], form: "both" },
  { program: "zip", options: ["-P"], form: "both" },
  { program: "mosquitto_pub", options: ["-P"], form: "apart" },
  { program: "openssl", options: ["-k"], form: "apart", sub: "enc" },
  { program: "http", options: ["-a", "--auth"], form: "apart", pair: true },
];

export const rules = {
  names,
  prose,
  cores,
  issuers,
  weak,
  harmless,
  suffixes,
  query,
  pairNames,
  pairValues,
  nothing,
  sentence,
  chinese,
  classes,
  shapes,
  webhooks,
  programs,
};
