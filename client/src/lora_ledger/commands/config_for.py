"""`lora-ledger config`: a runnable configuration from a weight file, or from a run of another trainer.

Every value says where it is from: read, the trainer's own default, or unknown (a placeholder to fill in). Keys and
defaults: sd-scripts library/train_util.py, lora-scripts (the same keys), OneTrainer TrainConfig.py, ai-toolkit
config_modules.py, diffusion-pipe's examples/main_example.toml.
"""

import json
import re
from pathlib import Path

from ..imports.adapter import Adapter, NoAdapter
from ..core.api import Api, Plain, put
from ..imports.weight_file import Past

READ, DEFAULT, FILL = "read", "default", "FILL IN"
TRAINERS = ("kohya", "lora-scripts", "onetrainer", "ai-toolkit", "diffusion-pipe")

# Settings without a column that sd-scripts takes under these very names.
KOHYA_EXTRAS = (
    "unet_lr", "text_encoder_lr", "optimizer_args", "lr_warmup_steps", "max_grad_norm", "gradient_checkpointing",
    "full_fp16", "fp8_base", "cache_latents", "clip_skip", "max_token_length", "noise_offset", "min_snr_gamma",
    "prior_loss_weight", "scale_weight_norms", "shuffle_caption", "keep_tokens", "caption_dropout_rate", "v2",
)  # fmt: skip

_SCRIPTS = {
    "sd15": ("train_network.py", "networks.lora", ()),
    "sd2": ("train_network.py", "networks.lora", ()),
    "sdxl": ("sdxl_train_network.py", "networks.lora", ()),
    "sd3": ("sd3_train_network.py", "networks.lora_sd3", ("clip_l", "clip_g", "t5xxl")),
    "flux": ("flux_train_network.py", "networks.lora_flux", ("clip_l", "t5xxl", "ae")),
    "chroma": ("flux_train_network.py", "networks.lora_flux", ("t5xxl", "ae")),
    "lumina2": ("lumina_train_network.py", "networks.lora_lumina", ("gemma2", "ae")),
    "hunyuan-image": ("hunyuan_image_train_network.py", "networks.lora_hunyuan_image", ("text_encoder", "byt5", "vae")),
    "anima": ("anima_train_network.py", "networks.lora_anima", ("qwen3", "vae")),
}
_TRAIN_TYPES = {
    "sd15": "sd-lora",
    "sd2": "sd-lora",
    "sdxl": "sdxl-lora",
    "flux": "flux-lora",
    "sd3": "sd3-lora",
    "lumina2": "lumina-lora",
    "chroma": "flux-lora",
}
_OT_TYPES = {
    "sd15": "STABLE_DIFFUSION_15", "sd2": "STABLE_DIFFUSION_21", "sdxl": "STABLE_DIFFUSION_XL_10_BASE",
    "sd3": "STABLE_DIFFUSION_35", "flux": "FLUX_DEV_1", "chroma": "CHROMA_1", "hunyuan-video": "HUNYUAN_VIDEO",
    "qwen-image": "QWEN",
}  # fmt: skip
_AIT_ARCHS = {
    "sd15": "sd1",
    "sd2": "sd2",
    "sdxl": "sdxl",
    "sd3": "sd3",
    "flux": "flux",
    "lumina2": "lumina2",
    "chroma": "chroma",
    "wan": "wan21",
    "qwen-image": "qwen_image",
}
_DP_TYPES = {
    "sdxl": ("sdxl", ("checkpoint_path",)),
    "sd3": ("sd3", ("diffusers_path",)),
    "flux": ("flux", ("diffusers_path",)),
    "chroma": ("chroma", ("diffusers_path", "transformer_path")),
    "lumina2": ("lumina_2", ("transformer_path", "llm_path", "vae_path")),
    "wan": ("wan", ("ckpt_path",)),
    "hunyuan-video": ("hunyuan-video", ("transformer_path", "vae_path", "llm_path", "clip_path")),
    "qwen-image": ("qwen_image", ("diffusers_path",)),
}
# sd-scripts, OneTrainer, ai-toolkit and diffusion-pipe spell optimizers each in their own way.
_OPTIMIZERS = {
    "adamw": ("AdamW", "ADAMW", "adamw", "adamw"),
    "adamw8bit": ("AdamW8bit", "ADAMW_8BIT", "adamw8bit", "adamw8bit"),
    "lion": ("Lion", "LION", "lion", "Lion"),
    "lion8bit": ("Lion8bit", "LION_8BIT", "lion8bit", None),
    "adafactor": ("AdaFactor", "ADAFACTOR", "adafactor", None),
    "prodigy": ("Prodigy", "PRODIGY", "prodigy", "Prodigy"),
    "pagedadamw8bit": ("PagedAdamW8bit", None, None, None),
    "dadaptadam": ("DAdaptAdam", "DADAPT_ADAM", "dadaptation", None),
    "sgd": ("SGDNesterov", "SGD", None, None),
}


class Facts:
    """What is known of the run: `value(name)` → (value or None, where it is from)."""

    def __init__(self, fields, where, extra, datasets, steps=None):
        self.fields = fields
        self.where = where
        self.extra = extra
        self.datasets = datasets
        self.steps = steps

    def value(self, name):
        return self.fields.get(name), self.where.get(name, "the file")

    @property
    def arch(self):
        return self.fields.get("base_arch")

    def seen(self, name):
        """Where a column was read."""
        return self.where.get(name, "the file")


def facts_of_file(path):
    """Facts of a weight file. Raises Plain."""
    try:
        past = Past(Adapter(path))
    except NoAdapter as error:
        raise Plain(f"{path}: {error}") from error
    kohya = past.fields.get("trainer") in ("kohya", "musubi-tuner")
    return Facts(past.fields, past.read, past.extra if kohya else {}, past.datasets, past.steps)


def facts_of_task(api, task):
    """Facts of a recorded run. Raises Plain."""
    row = api.get(f"/api/tasks/{task}")
    datasets = api.get(f"/api/tasks/{task}/datasets").get("datasets") or []
    defaults = set(row.get("defaulted_fields") or [])
    trainer = row.get("trainer") or "its trainer"
    where = {k: f"task {task}, {trainer}'s default there" if k in defaults else f"task {task}" for k in row}
    snapshot = row.get("config_snapshot")
    extra = {}
    if trainer in ("kohya", "lora-scripts", "musubi-tuner") and isinstance(snapshot, dict):
        for name, value in snapshot.items():
            extra.update(value if isinstance(value, dict) else {name: value})
    progress = row.get("progress") if isinstance(row.get("progress"), dict) else {}
    fields = {k: v for k, v in row.items() if v not in (None, "")}
    if not datasets and fields.get("data_dir") and row.get("model_type") != "llm":
        datasets = [
            {"name": re.split(r"[\\/]", folder.rstrip("\\/"))[-1], "source_path": folder}
            for folder in str(fields["data_dir"]).split(", ")
        ]
    return Facts(fields, where, extra, datasets, progress.get("total_steps"))


def folder_of(data):
    """The folder of a dataset, where the run's facts tell it: a file of captions or rows is none."""
    path = data.get("source_path")
    return path if path and not re.search(r"\.\w{1,5}$", path) else None


def kohya_root(datasets):
    """The folder that holds all datasets as sd-scripts' `N_name` folders, or None."""
    parts = [re.fullmatch(r"(.+)[\\/]\d+_[^\\/]+", folder_of(data) or "") for data in datasets]
    roots = {part[1] if part else None for part in parts}
    return roots.pop() if len(roots) == 1 else None


class Draft:
    """Rows (path of keys, value, note) of a configuration in the making."""

    def __init__(self, facts):
        self.facts = facts
        self.rows = []

    def set(self, path, value, kind, note=""):
        self.rows.append((tuple(path.split("/")), value, f"{kind}: {note}" if note else kind))

    def take(self, path, name, default=None, convert=None, fill=None):
        """A column's value; else the trainer's default; else a placeholder; left out where there is none of them."""
        value, where = self.facts.value(name)
        if value is not None:
            new = convert(value) if convert else value
            if new is not None:
                self.set(path, new, READ, where)
                return
            if default is not None:
                self.set(path, default, DEFAULT, f"{where} says {value}, which this trainer does not have by that name")
                return
        if default is not None:
            self.set(path, default, DEFAULT, "the trainer's own")
        elif fill is not None:
            self.fill(path, fill)

    def fill(self, path, what):
        self.set(path, f"FILL IN: {what}", FILL, "nobody can know this from the file")

    def base(self, path, what="path or name of the base model"):
        value, where = self.facts.value("base_model_path")
        if value and (":" in value or "/" in value or "\\" in value):
            self.set(path, value, READ, f"{where}; as it was called there")
        elif value:
            self.set(path, f"FILL IN: path of {value}", FILL, f"{where} tells the file's name, not where you keep it")
        else:
            self.fill(path, what)


def _of(facts):
    """Where settings without a column were read."""
    return f"task {facts.fields['id']}" if facts.fields.get("id") else "the metadata"


def _plain(name):
    return re.sub(r"[^a-z0-9]", "", str(name).lower().rpartition(".")[2])


def _optimizer(column):
    def convert(name):
        plain = _plain(name)
        plain = {"adamwtorchfused": "adamw", "adamwoptimi": "adamw"}.get(plain, plain)
        if plain in _OPTIMIZERS:
            return _OPTIMIZERS[plain][column]
        # sd-scripts imports any class by its name.
        return str(name) if column == 0 else None

    return convert


def _scheduler(known, shape=str):
    def convert(name):
        plain = re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")
        return shape(plain) if plain in known else None

    return convert


def _resolution(value):
    numbers = [int(n) for n in re.findall(r"\d+", str(value))]
    return numbers[:2] or None


def kohya(draft, scripts=False):
    """sd-scripts (and lora-scripts, which hands the same keys to it): one flat TOML file."""
    facts = draft.facts
    arch = facts.arch or "sd15"
    if arch not in _SCRIPTS:
        raise Plain(f"sd-scripts trains no {arch}; musubi-tuner, ai-toolkit or diffusion-pipe may")
    script, module, parts = _SCRIPTS[arch]
    if scripts:
        draft.set(
            "model_train_type", _TRAIN_TYPES.get(arch, "sd-lora"), READ if facts.arch else DEFAULT, "the architecture"
        )
    draft.base("pretrained_model_name_or_path")
    for part in parts:
        draft.fill(part, f"path of the {part} model")
    if arch == "chroma":
        draft.set("model_type", "chroma", READ, "the architecture")
    if arch == "sd2":
        draft.set("v2", True, READ, "the architecture")
    root = kohya_root(facts.datasets)
    if root:
        draft.set("train_data_dir", root, READ, f"{_of(facts)}'s data facts")
    else:
        draft.fill(
            "train_data_dir",
            "the folder that holds " + (", ".join(d["name"] for d in facts.datasets[:5]) or "your N_name folders"),
        )
    for data in facts.datasets[:20]:
        draft.set(
            "#",
            f"data read: {data['name']}, {data.get('image_count', '?')} images, repeats {data.get('repeats', '?')}",
            READ,
        )
    draft.take("output_name", "task_name", "last")
    draft.take("output_dir", "output_dir", fill="where the weights go")
    algo = facts.fields.get("network_algo")
    own = facts.extra.get("network_module")
    if own:
        draft.set("network_module", own, READ, _of(facts))
    elif algo in ("loha", "lokr", "dora", "locon", "oft"):
        draft.set("network_module", "lycoris.kohya", READ, f"{facts.seen('network_algo')}: {algo}")
    else:
        draft.set("network_module", module, READ if facts.arch else DEFAULT, "follows from the architecture")
    if facts.fields.get("lora_rank") is None and algo == "lokr":
        draft.set(
            "network_dim", 100_000, READ, f"{facts.seen('network_algo')}: the full matrix, which LyCORIS calls 100000"
        )
    else:
        draft.take("network_dim", "lora_rank", 4)
    draft.take("network_alpha", "lora_alpha", 1)
    draft.take("network_dropout", "dropout")
    args = facts.extra.get("network_args")
    if not args and not own:
        args = (
            [f"algo={'lora' if algo in ('dora', 'locon') else algo}"]
            if algo in ("loha", "lokr", "dora", "locon", "oft")
            else []
        )
        args += ["dora_wd=True"] if algo == "dora" else []
        args += [
            f"{k}={_short(facts.fields[n])}"
            for k, n in (("conv_dim", "conv_lora_rank"), ("conv_alpha", "conv_alpha"))
            if facts.fields.get(n)
        ]
        args = ["algo=locon" if a == "algo=lora" and algo == "locon" else a for a in args]
    if args:
        draft.set(
            "network_args", args, READ, _of(facts) if facts.extra.get("network_args") else facts.seen("network_algo")
        )
    draft.take("learning_rate", "learning_rate", 2e-6)
    draft.take("optimizer_type", "optimizer", "AdamW", _optimizer(0))
    draft.take("lr_scheduler", "scheduler", "constant", lambda name: str(name).rpartition(".")[2].lower())
    draft.take("train_batch_size", "batch_size", 1)
    draft.take("gradient_accumulation_steps", "gradient_accumulation_steps", 1)
    if facts.fields.get("epochs"):
        draft.take("max_train_epochs", "epochs", convert=int)
    else:
        draft.take("max_train_steps", "max_steps", 1600)
    draft.take("save_every_n_epochs", "save_every_n_epochs")
    draft.take("mixed_precision", "mixed_precision", "no")
    if _resolution(facts.fields.get("resolution")):
        draft.take("resolution", "resolution", convert=lambda v: ",".join(map(str, _resolution(v))))
    else:
        draft.fill("resolution", "such as 1024,1024")
    draft.take("seed", "seed")
    draft.take("caption_separator", "caption_tag_delim", ",")
    if isinstance(facts.extra.get("caption_extension"), str):
        draft.set("caption_extension", facts.extra["caption_extension"], READ, _of(facts))
    else:
        draft.set("caption_extension", ".txt", FILL, "check it: .txt is the usual one, .caption the trainer's default")
    for name in KOHYA_EXTRAS:
        value = facts.extra.get(name)
        if value is not None and name not in {row[0][0] for row in draft.rows}:
            draft.set(name, value, READ, _of(facts))
    launch = f"accelerate launch {script} --config_file THIS_FILE"
    return (
        launch
        if not scripts
        else f"import it in the GUI, or: accelerate launch scripts/{'dev' if parts else 'stable'}/{script} --config_file THIS_FILE"
    )


def onetrainer(draft):
    """OneTrainer: JSON over its defaults."""
    arch = draft.facts.arch or "sd15"
    if arch not in _OT_TYPES:
        raise Plain(f"this client does not know what OneTrainer calls {arch}")
    draft.set("training_method", "LORA", READ, "it is an adapter")
    draft.set(
        "model_type",
        _OT_TYPES[arch],
        READ if draft.facts.arch else FILL,
        "the architecture" if draft.facts.arch else "check it",
    )
    draft.base("base_model_name")
    algo = draft.facts.fields.get("network_algo")
    draft.set(
        "peft_type",
        {"loha": "LOHA", "lokr": "LOKR", "oft": "OFT_2"}.get(algo, "LORA"),
        READ if algo else DEFAULT,
        draft.facts.seen("network_algo") if algo else "the trainer's own",
    )
    if algo == "dora":
        draft.set("lora_decompose", True, READ, draft.facts.seen("network_algo"))
    draft.take("lora_rank", "lora_rank", 16)
    draft.take("lora_alpha", "lora_alpha", 1.0, float)
    draft.take("dropout_probability", "dropout", 0.0, float)
    draft.take("learning_rate", "learning_rate", 3e-6)
    draft.take("optimizer/optimizer", "optimizer", "ADAMW", _optimizer(1))
    draft.take(
        "learning_rate_scheduler",
        "scheduler",
        "CONSTANT",
        _scheduler({"constant", "linear", "cosine", "cosine_with_restarts", "cosine_with_hard_restarts"}, str.upper),
    )
    draft.take("batch_size", "batch_size", 1)
    draft.take("gradient_accumulation_steps", "gradient_accumulation_steps", 1)
    draft.take("epochs", "epochs", 100, lambda v: max(1, int(v)))
    draft.take("resolution", "resolution", "512", lambda v: str(_resolution(v)[0]) if _resolution(v) else None)
    draft.take(
        "train_dtype", "mixed_precision", "FLOAT_16", {"fp16": "FLOAT_16", "bf16": "BFLOAT_16", "no": "FLOAT_32"}.get
    )
    concepts = [
        {
            "name": d["name"],
            "path": folder_of(d) or f"FILL IN: folder of {d['name']}",
            "balancing": float(d.get("repeats") or 1),
            "balancing_strategy": "REPEATS",
            "text": {"prompt_source": "sample"},
            "enabled": True,
        }
        for d in draft.facts.datasets[:50]
    ] or [
        {
            "name": "data",
            "path": "FILL IN: folder of images with captions",
            "text": {"prompt_source": "sample"},
            "enabled": True,
        }
    ]
    told = all(folder_of(d) for d in draft.facts.datasets) and draft.facts.datasets
    draft.set(
        "concepts",
        concepts,
        READ if told else FILL,
        f"{_of(draft.facts)}'s data facts" if told else "the folders; names and repeats were read where they are given",
    )
    draft.set("workspace_dir", "workspace/run", DEFAULT, "the trainer's own")
    name = draft.facts.fields.get("task_name") or "model"
    draft.set("output_model_destination", f"models/{_file_name(name)}.safetensors", READ, "the name")
    return "python scripts/train.py --config-path THIS_FILE"


def ai_toolkit(draft):
    """ai-toolkit: YAML with one process."""
    arch = draft.facts.arch
    p = "config/process/0/"
    draft.set("job", "extension", DEFAULT, "what runs a training")
    draft.take("config/name", "task_name", "my_lora", _file_name)
    draft.set(p + "type", "sd_trainer", DEFAULT, "what trains adapters")
    draft.set(p + "training_folder", "output", DEFAULT, "as in its examples")
    draft.set(p + "device", "cuda:0", DEFAULT, "as in its examples")
    algo = draft.facts.fields.get("network_algo")
    if algo not in (None, "lora", "locon", "lokr", "dora"):
        raise Plain(f"ai-toolkit trains no {algo}")
    draft.set(
        p + "network/type",
        "lora" if algo in (None, "locon") else algo,
        READ if algo else DEFAULT,
        draft.facts.seen("network_algo") if algo else "the trainer's own",
    )
    if algo == "lokr" and draft.facts.fields.get("lora_rank") is None:
        draft.set(p + "network/lokr_full_rank", True, READ, f"{draft.facts.seen('network_algo')}: the full matrix")
    draft.take(p + "network/linear", "lora_rank", 4)
    draft.take(p + "network/linear_alpha", "lora_alpha", 1)
    if arch in ("flux", "sd3", "lumina2", "chroma", "wan", "qwen-image"):
        draft.set("#", "the trainer takes alpha = rank for this architecture, whatever linear_alpha says", DEFAULT)
    draft.take(p + "network/conv", "conv_lora_rank")
    draft.take(p + "network/conv_alpha", "conv_alpha")
    draft.take(p + "network/dropout", "dropout")
    draft.set(p + "save/dtype", "float16", DEFAULT, "as in its examples")
    draft.set(p + "save/save_every", 1000, DEFAULT, "the trainer's own")
    folders = draft.facts.datasets[:50] or [{"name": "your images"}]
    for n, data in enumerate(folders):
        if folder_of(data):
            draft.set(f"{p}datasets/{n}/folder_path", folder_of(data), READ, f"{_of(draft.facts)}'s data facts")
        else:
            draft.fill(f"{p}datasets/{n}/folder_path", f"folder of {data['name']}")
        draft.set(f"{p}datasets/{n}/caption_ext", "txt", DEFAULT, "the trainer's own")
        if data.get("repeats"):
            draft.set(f"{p}datasets/{n}/num_repeats", data["repeats"], READ, "the dataset facts")
        sizes = _resolution(draft.facts.fields.get("resolution"))
        draft.set(
            f"{p}datasets/{n}/resolution",
            [max(sizes)] if sizes else [512],
            READ if sizes else DEFAULT,
            draft.facts.where.get("resolution", "") if sizes else "the trainer's own",
        )
    draft.take(p + "train/batch_size", "batch_size", 1)
    steps, where = draft.facts.value("max_steps")
    if draft.facts.steps:
        draft.set(p + "train/steps", draft.facts.steps, READ, "the steps it was trained for")
    elif steps:
        draft.set(p + "train/steps", steps, READ, where)
    else:
        draft.set(p + "train/steps", 1000, DEFAULT, "the trainer's own; it counts no epochs")
    draft.take(p + "train/gradient_accumulation", "gradient_accumulation_steps", 1)
    draft.take(p + "train/lr", "learning_rate", 1e-6)
    draft.take(p + "train/optimizer", "optimizer", "adamw", _optimizer(2))
    draft.take(
        p + "train/lr_scheduler",
        "scheduler",
        "constant",
        _scheduler({"constant", "linear", "cosine", "cosine_with_restarts", "constant_with_warmup"}),
    )
    draft.take(p + "train/dtype", "mixed_precision", "fp32", {"fp16": "fp16", "bf16": "bf16", "no": "fp32"}.get)
    draft.set(
        p + "train/noise_scheduler",
        "flowmatch" if arch in ("flux", "sd3", "lumina2", "chroma", "wan", "qwen-image") else "ddpm",
        READ if arch else DEFAULT,
        "follows from the architecture",
    )
    draft.set(p + "train/train_unet", True, DEFAULT, "the trainer's own")
    draft.take(p + "training_seed", "seed")
    draft.base(p + "model/name_or_path")
    if arch in _AIT_ARCHS:
        draft.set(p + "model/arch", _AIT_ARCHS[arch], READ, "the architecture")
    elif arch:
        raise Plain(f"this client does not know what ai-toolkit calls {arch}")
    else:
        draft.fill(p + "model/arch", "such as sdxl or flux")
    return "python run.py THIS_FILE"


def diffusion_pipe(draft):
    """diffusion-pipe: a main TOML file; the dataset's own follows behind it."""
    arch = draft.facts.arch
    if arch and arch not in _DP_TYPES:
        raise Plain(f"diffusion-pipe trains no {arch}")
    algo = draft.facts.fields.get("network_algo")
    if algo not in (None, "lora", "lokr"):
        raise Plain(f"diffusion-pipe trains no {algo}, only lora and lokr")
    draft.take("output_dir", "output_dir", fill="where the runs go")
    draft.set("dataset", "dataset.toml", DEFAULT, "the second file, below")
    draft.take("epochs", "epochs", 1000, lambda v: max(1, int(v)))
    draft.take("micro_batch_size_per_gpu", "batch_size", 1)
    draft.set("pipeline_stages", 1, DEFAULT, "the trainer's own")
    draft.take("gradient_accumulation_steps", "gradient_accumulation_steps", 1)
    draft.take("lr_scheduler", "scheduler", "constant", _scheduler({"constant", "linear"}))
    warmup = draft.facts.extra.get("lr_warmup_steps")
    draft.set(
        "warmup_steps",
        warmup if isinstance(warmup, int) else 0,
        READ if isinstance(warmup, int) else DEFAULT,
        _of(draft.facts) if isinstance(warmup, int) else "the trainer's own",
    )
    draft.take("save_every_n_epochs", "save_every_n_epochs", 1, lambda v: v or None)
    draft.set("activation_checkpointing", True, DEFAULT, "as in its examples")
    kind, paths = _DP_TYPES.get(arch, (None, ("diffusers_path",)))
    if kind:
        draft.set("model/type", kind, READ, "the architecture")
    else:
        draft.fill("model/type", "such as sdxl, flux or wan")
    draft.base("model/" + paths[0])
    for path in paths[1:]:
        draft.fill("model/" + path, f"the {path.replace('_', ' ')}")
    draft.take(
        "model/dtype", "mixed_precision", "bfloat16", {"fp16": "float16", "bf16": "bfloat16", "no": "float32"}.get
    )
    draft.set(
        "adapter/type",
        algo or "lora",
        READ if algo else DEFAULT,
        draft.facts.seen("network_algo") if algo else "the usual one",
    )
    draft.take("adapter/rank", "lora_rank", fill="a whole number, such as 32")
    alpha, rank = draft.facts.fields.get("lora_alpha"), draft.facts.fields.get("lora_rank")
    draft.set(
        "#",
        "the trainer takes alpha = rank and forbids the key"
        + (f", which scales its updates otherwise than alpha {_short(alpha)} did" if alpha not in (None, rank) else ""),
        DEFAULT,
    )
    draft.take(
        "adapter/dtype", "mixed_precision", "bfloat16", {"fp16": "float16", "bf16": "bfloat16", "no": "float32"}.get
    )
    draft.take("adapter/dropout", "dropout")
    draft.take("optimizer/type", "optimizer", "adamw_optimi", _optimizer(3))
    draft.take("optimizer/lr", "learning_rate", fill="a number, such as 2e-5")
    return "deepspeed --num_gpus=1 train.py --deepspeed --config THIS_FILE"


def pipe_dataset(facts):
    """The text of diffusion-pipe's dataset file."""
    sizes = _resolution(facts.fields.get("resolution"))
    lines = [
        f"resolutions = [{max(sizes)}]  # read: {facts.where.get('resolution', 'the file')}"
        if sizes
        else "resolutions = [512]  # FILL IN: check it",
        "enable_ar_bucket = true  # default: as in its examples",
        "",
    ]
    for data in facts.datasets[:50] or [{"name": "your images"}]:
        known = folder_of(data)
        told = f"read: {_one_line(_of(facts))}'s data facts" if known else "FILL IN"
        lines += ["[[directory]]", f"path = {_toml(known or 'FILL IN: folder of ' + data['name'])}  # {told}"]
        known = data.get("repeats")
        lines += [f"num_repeats = {known or 1}  # {'read: the dataset facts' if known else 'default'}", ""]
    return "\n".join(lines)


def _short(value):
    return int(value) if isinstance(value, float) and value == int(value) else value


def _file_name(name):
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", str(name)).strip(" .") or "my_lora"


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(_short(value)) if isinstance(value, int) or value == int(value) else repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text):
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def as_toml(rows):
    """Rows as TOML, sections after the top level's keys."""
    lines, section = [], ()
    for path, value, note in sorted(rows, key=lambda row: len(row[0]) > 1):
        if path[0] == "#":
            lines.append(f"# {_one_line(value)}")
            continue
        if path[:-1] != section:
            section = path[:-1]
            lines += ["", f"[{'.'.join(section)}]"]
        lines.append(f"{path[-1]} = {_toml(value)}  # {_one_line(note)}")
    return "\n".join(lines) + "\n"


def as_yaml(rows):
    """Rows as YAML; a number in a path is a place in a list. Strings are written as JSON writes them, which YAML reads."""
    lines, open_path = [], ()
    for path, value, note in rows:
        if path[0] == "#":
            lines.append(f"# {_one_line(value)}")
            continue
        shared = 0
        while shared < len(path) - 1 and shared < len(open_path) and open_path[shared] == path[shared]:
            shared += 1
        dash = ""
        for depth in range(shared, len(path) - 1):
            if path[depth].isdigit():
                dash = "- "
                continue
            lines.append(f"{_indent(path[:depth], dash)}{path[depth]}:")
            dash = ""
        text = json.dumps(_short(value), ensure_ascii=False)
        lines.append(f"{_indent(path[:-1], dash)}{path[-1]}: {text}  # {_one_line(note)}")
        open_path = path[:-1]
    return "\n".join(lines) + "\n"


def _indent(above, dash):
    """Two columns for each level; a list's dash takes the last two."""
    return " " * (2 * len(above) - len(dash)) + dash


def as_json(rows):
    """Rows as JSON; as it has no comments, the notes stand under `__notes`, which OneTrainer passes over."""
    document, notes = {}, {}
    for path, value, note in rows:
        if path[0] == "#":
            continue
        place = document
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
        notes["/".join(path)] = _one_line(note)
    return json.dumps({"__notes": notes, **document}, indent=4, ensure_ascii=False) + "\n"


def config(settings, options):
    """Writes the configuration to -o, else to standard output. Raises Plain."""
    path = Path(options.source).expanduser()
    if path.is_file():
        facts, source = facts_of_file(path), path.name
    elif options.source.isdigit():
        facts, source = facts_of_task(Api(settings), int(options.source)), f"task {options.source}"
    else:
        raise Plain(f"{options.source}: there is no such file, and it is no task's number")
    text, more = write(facts, options.trainer, source)
    fills = text.count("FILL IN: ")
    if not options.output:
        put(
            text
            + ("".join(f"\n# {line}".rstrip() for line in ["--- dataset.toml ---", *more.splitlines()]) if more else "")
        )
        return 0
    output = Path(options.output).expanduser()
    files = [(output, text)] + ([(output.with_name("dataset.toml"), more)] if more else [])
    for target, content in files:
        try:
            with open(target, "w" if options.force else "x", encoding="utf-8", newline="\n") as file:
                file.write(content)
        except FileExistsError as error:
            raise Plain(f"{target} is there already; --force writes over it") from error
        except OSError as error:
            raise Plain(f"{target} cannot be written ({error.strerror})") from error
        put(f"wrote {target}")
    if fills:
        put(f"{fills} values say FILL IN: nobody can know them from {source}")
    return 0


def write(facts, trainer, source):
    """(the configuration's text, a second file's text or None). Raises Plain where the trainer lacks what it needs."""
    draft = Draft(facts)
    makers = {
        "kohya": kohya,
        "lora-scripts": lambda d: kohya(d, scripts=True),
        "onetrainer": onetrainer,
        "ai-toolkit": ai_toolkit,
        "diffusion-pipe": diffusion_pipe,
    }
    launch = makers[trainer](draft)
    if trainer == "onetrainer":
        return as_json(draft.rows), None
    head = (
        f"# {trainer} configuration made from {_one_line(source)} by lora-ledger. After each value: read (and where),\n"
        f"# default (the trainer's own, because nothing says otherwise), or FILL IN (nobody can know it).\n"
        f"# Run: {launch}\n\n"
    )
    body = as_yaml(draft.rows) if trainer == "ai-toolkit" else as_toml(draft.rows)
    return head + body, pipe_dataset(facts) if trainer == "diffusion-pipe" else None
