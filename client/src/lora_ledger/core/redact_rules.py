"""What counts as a secret, the same as for the service. Made by `node scripts/run.mjs redact-rules`; change nothing here."""

NAMES = """token auth_token authtoken access_token refresh_token bearer_token api_token apitoken id_token session_token
personal_access_token bot_token secret_token authorization x_api_key proxy_authorization private_token
x_auth_token api_key apikey api_secret access_key access_key_id secret secret_key secret_access_key
client_secret private_key encryption_key signing_key account_key shared_access_key shared_access_signature
password passwd passphrase pwd user_password admin_password hf_token hf_api_token hf_api_key hf_hub_token
huggingface_token huggingface_api_key huggingface_api_token huggingface_hub_token hugging_face_token
hugging_face_hub_token huggingfacehub_api_token hub_token push_to_hub_token ms_hub_token om_hub_token
modelscope_token modelscope_api_token modelscope_sdk_token civitai_token civitai_api_key civitai_api_token
wandb_api_key wandb_key wandb_token comet_api_key neptune_api_token swanlab_api_key swanlab_lark_secret
swanlab_lark_webhook_url clearml_api_access_key clearml_api_secret_key mlflow_tracking_password
mlflow_tracking_token trackio_token openai_api_key azure_openai_api_key anthropic_api_key gemini_api_key
google_api_key openrouter_api_key mistral_api_key groq_api_key together_api_key deepseek_api_key
dashscope_api_key cohere_api_key replicate_api_token fireworks_api_key nvidia_api_key ngc_api_key
aws_access_key_id aws_secret_access_key aws_session_token s3_access_key s3_secret_key s3_secret_access_key
r2_access_key_id r2_secret_access_key minio_secret_key minio_root_password azure_storage_key
azure_client_secret b2_application_key cloudflare_api_token github_token gh_token github_pat gitlab_token
gitlab_private_token runpod_api_key vast_api_key vastai_api_key lambda_api_key paperspace_api_key
modal_token_secret telegram_token telegram_bot_token discord_token discord_bot_token slack_token
slack_bot_token discord_webhook discord_webhook_url slack_webhook slack_webhook_url feishu_webhook
feishu_webhook_url lark_webhook_url lark_webhook_secret webhook_secret jwt_secret jwt_secret_previous
ledger_key lora_ledger_key turso_auth_token database_auth_token db_password database_password mysql_password
mysql_pwd postgres_password pgpassword redis_password smtp_password ssh_password sudo_password root_password
jupyter_token jupyter_password notebook_token ngrok_authtoken ngrok_auth_token tailscale_authkey ts_authkey
proxy_password civitai_key x_amz_signature x_amz_credential x_amz_security_token x_goog_signature
x_goog_credential awsaccesskeyid requirepass sshpass authkey auth_key smtp_pass mail_pass db_pass mysql_pass
postgres_pass redis_pass ssh_pass ssh_pw ftp_pass http_pass proxy_pass sudo_pass root_pass root_pw admin_pass
user_pass login_pass box_pass""".split()
PROSE = """token secret pwd authorization access_key id_token""".split()
CORES = """password passwd passphrase passcode apikey authtoken secret api_key access_key secret_key private_key
account_key signing_key encryption_key auth_key api_token access_token auth_token bearer_token refresh_token
session_token bot_token api_secret""".split()
ISSUERS = """hf huggingface hub wandb civitai civit s3 aws r2 b2 gcs gcp azure minio oss cos openai anthropic claude gemini
openrouter mistral groq deepseek dashscope qwen moonshot zhipu replicate fal stability runpod vast vastai
lambda paperspace modal github gh gitlab bitbucket docker npm pypi telegram tg discord slack feishu lark
dingtalk wecom jwt ledger turso modelscope swanlab comet neptune clearml kaggle ngrok tailscale cloudflare cf
sentry stripe twilio sendgrid mailgun personal deploy pushover bark serverchan oauth service admin master bot""".split()
WEAK = """token key webhook pat credential credentials creds auth sendkey license_key session sessionid""".split()
HARMLESS = """class pad eos bos unk mask sep cls image img video audio text vision placeholder trigger special instance num
max min keep stop start system caption tag extra additional initializer public cache object primary foreign
sort partition dedupe idempotency storage state dict map weight weights tensor hash group metric content idem
lookup run model trace request job step file layer bucket dedup item row node sample""".split()
SUFFIXES = """prod production dev development staging stage test live old new main backup default value plain raw text
primary secondary current previous prev a b v1 v2 v3 0 1 2 3 4 5 6 7 8 9""".split()
QUERY = """sig signature x_amz_signature x_amz_credential x_amz_security_token x_goog_signature x_goog_credential
awsaccesskeyid key auth authkey hapikey q_signature""".split()
PAIR_NAMES = """name key variable var env env_name field option header setting""".split()
PAIR_VALUES = """value val default secret_value content""".split()
NOTHING = """null none nil undefined false true yes no on off ~ unset empty str string""".split()
SENTENCE = """required incorrect invalid expired missing wrong must should is was are for the a an please not cannot field
reset changed updated saved ok hidden prompt authentication protected accepted rejected denied failed unknown
unsupported and or in to of with does enter your set needed""".split()
CHINESE = """密码 口令 密钥 令牌""".split()
WEBHOOKS = """hooks.slack.com/services/ hooks.slack.com/workflows/ hooks.slack.com/triggers/ discord.com/api/webhooks/
discordapp.com/api/webhooks/ ptb.discord.com/api/webhooks/ canary.discord.com/api/webhooks/
open.feishu.cn/open-apis/bot/ open.larksuite.com/open-apis/bot/ qyapi.weixin.qq.com/cgi-bin/webhook/send?key=
oapi.dingtalk.com/robot/send?access_token= api.telegram.org/bot sctapi.ftqq.com/ api.day.app/
maker.ifttt.com/trigger/ outlook.office.com/webhook/""".split()
CLASSES = {
    "alnum": "0-9A-Za-z",
    "upper": "0-9A-Z",
    "hex": "0-9a-f",
    "uuid": "0-9a-f-",
    "word": "0-9A-Za-z_",
    "name": "0-9A-Za-z_-",
    "dotted": "0-9A-Za-z_.-",
    "bearer": "0-9A-Za-z._~+/=-",
    "base64": "0-9A-Za-z+/=_-",
}
# (prefix, characters at least, their class, whether no letter follows)
SHAPES = (
    ("hf_", 20, "alnum", False,),
    ("hf_oauth_", 20, "dotted", False,),
    ("api_org_", 20, "alnum", False,),
    ("sk-proj-", 20, "name", False,),
    ("sk-svcacct-", 20, "name", False,),
    ("sk-admin-", 20, "name", False,),
    ("sk-ant-", 20, "name", False,),
    ("sk-or-v1-", 20, "name", False,),
    ("sk-", 20, "alnum", False,),
    ("sk_live_", 16, "alnum", False,),
    ("sk_test_", 16, "alnum", False,),
    ("rk_live_", 16, "alnum", False,),
    ("whsec_", 24, "base64", False,),
    ("ghp_", 20, "alnum", False,),
    ("gho_", 20, "alnum", False,),
    ("ghu_", 20, "alnum", False,),
    ("ghs_", 20, "alnum", False,),
    ("ghr_", 20, "alnum", False,),
    ("github_pat_", 20, "word", False,),
    ("glpat-", 16, "dotted", False,),
    ("gldt-", 16, "name", False,),
    ("glrt-", 16, "name", False,),
    ("gsk_", 30, "alnum", False,),
    ("xai-", 40, "alnum", False,),
    ("pplx-", 40, "alnum", False,),
    ("tvly-", 20, "name", False,),
    ("AKIA", 16, "upper", True,),
    ("ASIA", 16, "upper", True,),
    ("AKID", 28, "alnum", True,),
    ("LTAI", 12, "alnum", True,),
    ("AIza", 35, "name", False,),
    ("ya29.", 20, "dotted", False,),
    ("GOCSPX-", 20, "name", False,),
    ("xoxb-", 10, "name", False,),
    ("xoxp-", 10, "name", False,),
    ("xoxa-", 10, "name", False,),
    ("xoxr-", 10, "name", False,),
    ("xoxs-", 10, "name", False,),
    ("xoxe-", 10, "name", False,),
    ("xapp-", 10, "name", False,),
    ("nvapi-", 20, "name", False,),
    ("npm_", 30, "alnum", False,),
    ("rpa_", 30, "alnum", False,),
    ("r8_", 30, "alnum", False,),
    ("wandb_v1_", 20, "word", False,),
    ("pypi-AgE", 30, "name", False,),
    ("dckr_pat_", 20, "name", False,),
    ("dop_v1_", 40, "alnum", False,),
    ("doo_v1_", 40, "alnum", False,),
    ("ms-", 36, "uuid", True,),
    ("ak-", 20, "alnum", True,),
    ("as-", 20, "alnum", True,),
    ("SG.", 40, "dotted", False,),
    ("shpat_", 30, "alnum", False,),
    ("lin_api_", 30, "alnum", False,),
    ("figd_", 30, "name", False,),
    ("dapi", 32, "hex", True,),
    ("hvs.", 24, "name", False,),
    ("tskey-", 16, "name", False,),
    ("enrol-", 64, "hex", True,),
    ("Bearer ", 16, "bearer", False,),
    ("bearer ", 16, "bearer", False,),
    ("wandb login ", 32, "word", False,),
    ("wandb login --relogin ", 32, "word", False,),
)
# (program, options, whether the value stands apart, whether it is user:password, its subcommand)
PROGRAMS = (
    ("curl", ("-u", "--user", "-U", "--proxy-user",), "both", True, None,),
    ("sshpass", ("-p",), "both", False, None,),
    ("mysql", ("-p",), "glued", False, None,),
    ("mysqldump", ("-p",), "glued", False, None,),
    ("mariadb", ("-p",), "glued", False, None,),
    ("docker", ("-p",), "both", False, "login",),
    ("podman", ("-p",), "both", False, "login",),
    ("redis-cli", ("-a",), "apart", False, None,),
    ("smbclient", ("-U",), "apart", True, None,),
    ("7z", ("-p",), "glued", False, None,),
    ("unzip", ("-P",), "both", False, None,),
    ("zip", ("-P",), "both", False, None,),
    ("mosquitto_pub", ("-P",), "apart", False, None,),
    ("openssl", ("-k",), "apart", False, "enc",),
    ("http", ("-a", "--auth",), "apart", True, None,),
)
