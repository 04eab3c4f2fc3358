"""A small real LoRA trainer in plain Python, with the arguments, files and output of sd-scripts' train_network.py.

It fits low-rank adapters B·A (rank network_dim) to fixed target matrices by Adam, on inputs drawn from each image's
bytes: the loss truly falls, and nothing but Python 3.9+ is needed.

    python3 train_network.py --config_file my_lora.toml
"""

import argparse
import hashlib
import json
import math
import os
import random
import socket
import struct
import sys
import time
from operator import mul
from pathlib import Path

WIDTH = 24
MODULES = [
    f"lora_unet_{block}_attentions_0_transformer_blocks_0_{layer}"
    for block in ("down_blocks_0", "down_blocks_1", "up_blocks_2")
    for layer in ("attn1_to_q", "attn1_to_v", "attn2_to_k")
]
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

# ---------------------------------------------------------------------------------------------- arguments


def read_toml(text):
    """The flat arguments of a configuration file; section names mean nothing, as in sd-scripts."""
    try:
        import tomllib

        document = tomllib.loads(text)
        flat = {}
        for name, value in document.items():
            flat.update(value if isinstance(value, dict) else {name: value})
        return flat
    except ImportError:
        return read_simple_toml(text)


def read_simple_toml(text):
    """One `key = value` a line: strings, numbers, booleans and arrays on one line, as these files have them."""
    flat = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith(("#", "[")):
            continue
        name, _, value = line.partition("=")
        value = value.strip()
        if value[:1] in "\"'":
            end = value.index(value[0], 1)
            flat[name.strip()] = value[1:end]
            continue
        value = value.split("#")[0].strip()
        if value.startswith("["):
            value = value[:-1].rstrip().rstrip(",") + "]"
            flat[name.strip()] = json.loads(value.replace("'", '"'))
        elif value in ("true", "false"):
            flat[name.strip()] = value == "true"
        else:
            number = float(value)
            flat[name.strip()] = int(value) if value.lstrip("+-").isdigit() else number
    return flat


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    text = dict(type=str, default=None)
    for name in (
        "config_file",
        "pretrained_model_name_or_path",
        "train_data_dir",
        "output_dir",
        "output_name",
        "logging_dir",
        "log_prefix",
        "network_module",
        "optimizer_type",
        "lr_scheduler",
        "mixed_precision",
        "save_precision",
        "resolution",
        "resume",
        "caption_extension",
        "training_comment",
    ):
        parser.add_argument(f"--{name}", **text)
    for name in (
        "max_train_epochs",
        "max_train_steps",
        "train_batch_size",
        "network_dim",
        "seed",
        "save_every_n_epochs",
        "save_every_n_steps",
        "gradient_accumulation_steps",
    ):
        parser.add_argument(f"--{name}", type=int, default=None)
    for name in ("learning_rate", "unet_lr", "network_alpha"):
        parser.add_argument(f"--{name}", type=float, default=None)
    for name in ("save_state", "skip_until_initial_step"):
        parser.add_argument(f"--{name}", action="store_true", default=None)
    parser.add_argument("--network_args", nargs="*", default=None)
    parser.add_argument(
        "--sleep", type=float, default=None, help="seconds each step takes besides the arithmetic (0.05)"
    )
    parser.add_argument("--fail_at_step", type=int, help="raise an exception at this step")
    parser.add_argument("--oom_at_step", type=int, help="fail as torch does without memory at this step")
    parser.add_argument("--nan_at_step", type=int, help="from this step on the loss is not a number")
    return parser


DEFAULTS = {
    "output_dir": ".",
    "train_batch_size": 1,
    "max_train_steps": 1600,
    "network_alpha": 1.0,
    "learning_rate": 2e-6,
    "optimizer_type": "AdamW",
    "lr_scheduler": "constant",
    "mixed_precision": "no",
    "resolution": "512,512",
    "caption_extension": ".caption",
    "log_prefix": "",
    "gradient_accumulation_steps": 1,
    "sleep": 0.05,
}


def read_arguments():
    """Command line over configuration file over defaults. Unknown keys of the file are accepted, as in sd-scripts."""
    options = build_parser().parse_args()
    if options.config_file:
        path = Path(options.config_file)
        if not path.suffix:
            path = path.with_suffix(".toml")
        print(f"Loading settings from {path}...")
        for name, value in read_toml(path.read_text(encoding="utf-8")).items():
            if getattr(options, name, None) is None and value != "":
                setattr(options, name, value)
    for name, value in DEFAULTS.items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    for name in ("learning_rate", "unet_lr", "network_alpha"):
        if getattr(options, name, None) is not None:
            setattr(options, name, float(getattr(options, name)))
    options.network_dim = options.network_dim or 4
    return options


# ---------------------------------------------------------------------------------------------- data


def read_dataset(options):
    """[{name, repeats, images: [path, …], tags: {tag: count}}, …] of the folders named N_concept."""
    folders = []
    root = Path(options.train_data_dir or "")
    for folder in sorted(root.iterdir()) if options.train_data_dir and root.is_dir() else []:
        number = folder.name.split("_")[0]
        if not folder.is_dir() or not number.isdigit() or "_" not in folder.name:
            continue
        images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)
        tags = {}
        for image in images:
            caption = image.with_suffix(options.caption_extension)
            lines = caption.read_text(encoding="utf-8").strip().splitlines() if caption.exists() else []
            for tag in (lines[0] if lines else folder.name.split("_", 1)[1]).split(","):
                tag = tag.strip().lower()
                if tag:
                    tags[tag] = tags.get(tag, 0) + 1
        folders.append({"name": folder.name, "repeats": int(number), "images": images, "tags": tags})
        print(f"found directory {folder} contains {len(images)} image files")
    if not any(f["images"] for f in folders):
        print(
            "No data found. Please verify arguments (train_data_dir must be the parent of folders with images)"
        )
        sys.exit(1)
    return folders


# ---------------------------------------------------------------------------------------------- network


def dot(a, b):
    return sum(map(mul, a, b))


class Adapter:
    """One LoRA pair: down (rank × WIDTH) and up (WIDTH × rank), trained by AdamW against a fixed target."""

    def __init__(self, rank, alpha, chance):
        self.rank = rank
        self.scale = alpha / rank
        bound = 1 / math.sqrt(WIDTH)
        self.down = [[chance.uniform(-bound, bound) for _ in range(WIDTH)] for _ in range(rank)]
        self.up = [[0.0] * rank for _ in range(WIDTH)]
        # The target's own rank is 3, so that a small adapter can reach it.
        left = [[chance.gauss(0, 0.2) for _ in range(3)] for _ in range(WIDTH)]
        right = [[chance.gauss(0, 0.2) for _ in range(WIDTH)] for _ in range(3)]
        columns = list(zip(*right))
        self.target = [[dot(row, column) for column in columns] for row in left]
        self.moments = [[0.0, 0.0] for _ in range(2 * rank * WIDTH)]

    def clear(self):
        self.grad_down = [[0.0] * WIDTH for _ in range(self.rank)]
        self.grad_up = [[0.0] * self.rank for _ in range(WIDTH)]

    def forward_backward(self, x, noise, share):
        """Adds the gradients of one input's mean squared error; returns that error."""
        hidden = [dot(row, x) for row in self.down]
        error = [
            self.scale * dot(up, hidden) - dot(target, x) - e
            for up, target, e in zip(self.up, self.target, noise)
        ]
        factor = 2 * self.scale * share / WIDTH
        for row, e in zip(self.grad_up, error):
            for j, h in enumerate(hidden):
                row[j] += factor * e * h
        for j, row in enumerate(self.grad_down):
            back = factor * sum(up[j] * e for up, e in zip(self.up, error))
            for i, value in enumerate(x):
                row[i] += back * value
        return dot(error, error) / WIDTH

    def step(self, rate, count):
        """One AdamW update (Loshchilov & Hutter, 2019) with beta 0.9 and 0.999, weight decay 0.01."""
        first, second = 1 - 0.9**count, 1 - 0.999**count
        at = 0
        for weights, gradients in ((self.down, self.grad_down), (self.up, self.grad_up)):
            for row, grads in zip(weights, gradients):
                for i, g in enumerate(grads):
                    m = self.moments[at]
                    m[0] += 0.1 * (g - m[0])
                    m[1] += 0.001 * (g * g - m[1])
                    row[i] -= rate * (m[0] / first / (math.sqrt(m[1] / second) + 1e-8) + 0.01 * row[i])
                    at += 1


def learning_rate(options, step, total):
    base = options.unet_lr if getattr(options, "unet_lr", None) else options.learning_rate
    if options.lr_scheduler.startswith("cosine"):
        return base * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total))))
    return base


# ---------------------------------------------------------------------------------------------- safetensors


def flat(rows):
    return [value for row in rows for value in row]


def write_safetensors(path, tensors, metadata, precision):
    """Writes {name: (shape, values)}; sshs hashes are those that sd-scripts puts into its metadata."""
    code, kind, size = ("e", "F16", 2) if precision in ("fp16", "bf16") else ("f", "F32", 4)
    header, blocks, offset = {}, [], 0
    for name, (shape, values) in tensors.items():
        block = struct.pack(f"<{len(values)}{code}", *values)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + len(block)]}
        blocks.append(block)
        offset += len(block)
    data = b"".join(blocks)

    def whole(extra):
        text = json.dumps({"__metadata__": {**metadata, **extra}, **header}, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data

    # library/train_util.py: the legacy hash covers 64 kB from 1 MB on, of the file before the hashes are in it.
    legacy = hashlib.sha256(whole({})[0x100000:0x110000]).hexdigest()[:8]
    with open(path, "wb") as file:
        file.write(whole({"sshs_model_hash": hashlib.sha256(data).hexdigest(), "sshs_legacy_hash": legacy}))


def read_safetensors(path):
    """{name: values} of a file that `write_safetensors` wrote."""
    data = Path(path).read_bytes()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            start, end = (8 + length + o for o in tensor["data_offsets"])
            code, size = ("e", 2) if tensor["dtype"] == "F16" else ("f", 4)
            tensors[name] = struct.unpack(f"<{(end - start) // size}{code}", data[start:end])
    return tensors


# ---------------------------------------------------------------------------------------------- TensorBoard


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


class EventWriter:
    """Writes scalars as TensorBoard does: TFRecords of Event messages, each with masked CRC-32Cs."""

    TABLE = crc_table()

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"
        self.file = open(folder / name, "ab", buffering=0)
        self.record(b"\x09" + struct.pack("<d", time.time()) + b"\x1a\x0dbrain.Event:2")

    def crc(self, data):
        crc = 0xFFFFFFFF
        for byte in data:
            crc = self.TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        crc ^= 0xFFFFFFFF
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    def record(self, event):
        length = struct.pack("<Q", len(event))
        self.file.write(length + self.crc(length) + event + self.crc(event))

    @staticmethod
    def varint(value):
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes(out) + bytes([value])

    def scalar(self, tag, value, step):
        name = tag.encode()
        inner = b"\x0a" + self.varint(len(name)) + name + b"\x15" + struct.pack("<f", value)
        summary = b"\x0a" + self.varint(len(inner)) + inner
        self.record(
            b"\x09"
            + struct.pack("<d", time.time())
            + b"\x10"
            + self.varint(step)
            + b"\x2a"
            + self.varint(len(summary))
            + summary
        )


# ---------------------------------------------------------------------------------------------- progress


class Progress:
    """The line that tqdm draws: `steps:  26%|██▌       | 78/300 [00:05<00:14, 15.34it/s, avr_loss=0.0928]`."""

    def __init__(self, total, start):
        self.n = start
        self.start = start
        self.total = total
        self.begun = time.time()
        self.postfix = ""
        encoding = (sys.stderr.encoding or "ascii").lower()
        self.glyphs = " ▏▎▍▌▋▊▉█" if encoding.startswith("utf") else " 123456789#"
        self.draw()

    @staticmethod
    def clock(seconds):
        minutes, seconds = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"

    def draw(self):
        part = self.n / self.total
        cells = len(self.glyphs) - 1
        full, rest = divmod(int(part * 10 * cells), cells)
        bar = self.glyphs[-1] * full + (self.glyphs[rest] if full < 10 else "")
        elapsed = time.time() - self.begun
        rate = (self.n - self.start) / elapsed if elapsed and self.n > self.start else 0
        speed = "?it/s" if not rate else f"{rate:5.2f}it/s" if rate >= 1 else f"{1 / rate:5.2f}s/it"
        left = self.clock((self.total - self.n) / rate) if rate else "?"
        sys.stderr.write(
            f"\rsteps: {part * 100:3.0f}%|{bar:<10}| {self.n}/{self.total} [{self.clock(elapsed)}<{left}, {speed}{self.postfix}]"
        )
        sys.stderr.flush()

    def update(self, loss):
        self.n += 1
        self.postfix = f", avr_loss={loss:.3g}"
        self.draw()

    def close(self):
        sys.stderr.write("\n")
        sys.stderr.flush()


# ---------------------------------------------------------------------------------------------- training


class LossRecorder:
    """The mean over the last epoch's steps, as sd-scripts computes avr_loss."""

    def __init__(self):
        self.values = []
        self.total = 0.0

    def add(self, step_in_epoch, loss):
        while len(self.values) <= step_in_epoch:
            self.values.append(None)
        self.total += loss - (self.values[step_in_epoch] or 0.0)
        self.values[step_in_epoch] = loss

    @property
    def average(self):
        known = [v for v in self.values if v is not None]
        # Summed anew, so that a NaN does not stay in a running total after it left the window.
        return math.fsum(known) / len(known) if all(map(math.isfinite, known)) else float("nan")


class Training:
    """One run from arguments to final weights."""

    def __init__(self, options):
        self.options = options
        self.started = time.time()
        self.seed = options.seed if options.seed is not None else random.randrange(2**32)
        chance = random.Random(self.seed)
        self.folders = read_dataset(options)
        self.images = [image for f in self.folders for image in f["images"] for _ in range(f["repeats"])]
        self.keys = {image: hashlib.sha256(image.read_bytes()).hexdigest() for image in set(self.images)}
        self.per_epoch = math.ceil(len(self.images) / options.train_batch_size)
        if options.max_train_epochs:
            options.max_train_steps = options.max_train_epochs * self.per_epoch
        self.epochs = math.ceil(options.max_train_steps / self.per_epoch)
        self.network = {name: Adapter(options.network_dim, options.network_alpha, chance) for name in MODULES}
        self.updates = 0
        self.name = options.output_name or None
        self.output = Path(options.output_dir)
        self.output.mkdir(parents=True, exist_ok=True)

    def tensors(self, moments=False):
        tensors = {}
        for name, a in self.network.items():
            tensors[f"{name}.alpha"] = ([], [self.options.network_alpha])
            tensors[f"{name}.lora_down.weight"] = ([a.rank, WIDTH], flat(a.down))
            tensors[f"{name}.lora_up.weight"] = ([WIDTH, a.rank], flat(a.up))
            if moments:
                tensors[f"{name}.moments"] = ([len(a.moments), 2], flat(a.moments))
        return tensors

    def metadata(self, step, epoch):
        o = self.options
        text = {
            "session_id": self.seed,
            "training_started_at": self.started,
            "training_finished_at": time.time(),
            "output_name": o.output_name,
            "learning_rate": o.learning_rate,
            "text_encoder_lr": None,
            "unet_lr": getattr(o, "unet_lr", None),
            "num_train_images": len(self.images),
            "num_reg_images": 0,
            "num_batches_per_epoch": self.per_epoch,
            "num_epochs": self.epochs,
            "gradient_checkpointing": False,
            "gradient_accumulation_steps": o.gradient_accumulation_steps,
            "max_train_steps": o.max_train_steps,
            "lr_warmup_steps": getattr(o, "lr_warmup_steps", 0),
            "lr_scheduler": o.lr_scheduler,
            "network_module": o.network_module or "networks.lora",
            "network_dim": o.network_dim,
            "network_alpha": float(o.network_alpha),
            "network_dropout": getattr(o, "network_dropout", None),
            "mixed_precision": o.mixed_precision,
            "full_fp16": False,
            "v2": bool(getattr(o, "v2", False)),
            "base_model_version": "sd_v2" if getattr(o, "v2", False) else "sd_v1",
            "clip_skip": getattr(o, "clip_skip", None),
            "max_token_length": getattr(o, "max_token_length", None),
            "cache_latents": bool(getattr(o, "cache_latents", False)),
            "seed": self.seed,
            "lowram": False,
            "noise_offset": getattr(o, "noise_offset", None),
            "training_comment": o.training_comment,
            "sd_scripts_commit_hash": None,
            "max_grad_norm": 1.0,
            "optimizer": f"torch.optim.adamw.{o.optimizer_type}",
            "min_snr_gamma": getattr(o, "min_snr_gamma", None),
            "sd_model_name": os.path.basename(o.pretrained_model_name_or_path or "") or None,
            "steps": step,
            "epoch": epoch,
            "batch_size_per_device": o.train_batch_size,
            "total_batch_size": o.train_batch_size,
            "resolution": tuple(int(n) for n in str(o.resolution).split(",")),
            "shuffle_caption": bool(getattr(o, "shuffle_caption", False)),
            "keep_tokens": getattr(o, "keep_tokens", 0),
        }
        values = {f"ss_{name}": str(value) for name, value in text.items()}
        arguments = dict(a.split("=", 1) for a in o.network_args or [])
        values["ss_network_args"] = json.dumps(arguments)
        values["ss_tag_frequency"] = json.dumps({f["name"]: f["tags"] for f in self.folders})
        values["ss_dataset_dirs"] = json.dumps(
            {f["name"]: {"n_repeats": f["repeats"], "img_count": len(f["images"])} for f in self.folders}
        )
        values["ss_reg_dataset_dirs"] = json.dumps({})
        values.update(
            {
                "modelspec.sai_model_spec": "1.0.0",
                "modelspec.architecture": "stable-diffusion-v1/lora",
                "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
                "modelspec.title": o.output_name or "LoRA",
                "modelspec.resolution": "512x512",
                "modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%S"),
            }
        )
        return values

    def save(self, file_name, step, epoch):
        path = self.output / file_name
        print(f"\nsaving checkpoint: {path}")
        write_safetensors(path, self.tensors(), self.metadata(step, epoch), self.options.save_precision)

    def save_state(self, stem, step, epoch):
        folder = self.output / f"{stem}-state"
        print(f"\nsaving state at {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        write_safetensors(
            folder / "model.safetensors", self.tensors(moments=True), {"updates": str(self.updates)}, "float"
        )
        (folder / "train_state.json").write_text(json.dumps({"current_epoch": epoch, "current_step": step}))

    def resume(self):
        """Loads weights, moments and the step that the state was saved at; returns that step."""
        folder = Path(self.options.resume)
        print(f"resume training from local state: {folder}")
        tensors = read_safetensors(folder / "model.safetensors")
        state = json.loads((folder / "train_state.json").read_text())
        for name, a in self.network.items():
            down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
            a.down = [list(down[i * WIDTH : (i + 1) * WIDTH]) for i in range(a.rank)]
            a.up = [list(up[i * a.rank : (i + 1) * a.rank]) for i in range(WIDTH)]
            moments = tensors[f"{name}.moments"]
            a.moments = [[m, v] for m, v in zip(moments[0::2], moments[1::2])]
        self.updates = state["current_step"]
        return state["current_step"]

    def batch_loss(self, images, step):
        """The mean loss of one batch, with its gradients left in the adapters."""
        share = 1 / len(images)
        total = 0.0
        for adapter in self.network.values():
            adapter.clear()
        for position, image in enumerate(images):
            chance = random.Random(f"{self.seed}{self.keys[image]}{step}{position}")
            x = [chance.gauss(0, 1) for _ in range(WIDTH)]
            for adapter in self.network.values():
                noise = [chance.gauss(0, 0.15) for _ in range(WIDTH)]
                total += adapter.forward_backward(x, noise, share) * share
        return total / len(self.network)

    def run(self):
        o = self.options
        done = self.resume() if getattr(o, "resume", None) else 0
        print("running training / 学習開始")
        print(f"  num train images * repeats / 学習画像の数×繰り返し回数: {len(self.images)}")
        print(f"  num batches per epoch / 1epochのバッチ数: {self.per_epoch}")
        print(f"  num epochs / epoch数: {self.epochs}")
        print(f"  batch size per device / バッチサイズ: {o.train_batch_size}")
        print(f"  total optimization steps / 学習ステップ数: {o.max_train_steps}")
        writer = None
        if o.logging_dir:
            stamp = time.strftime("%Y%m%d%H%M%S")
            writer = EventWriter(Path(o.logging_dir) / f"{o.log_prefix or ''}{stamp}" / "network_train")
        # Without skip_until_initial_step the step count begins anew and only the epoch goes on.
        own = done if o.skip_until_initial_step else 0
        first_epoch, in_first = divmod(done, self.per_epoch)
        progress = Progress(o.max_train_steps - (done - own), own)
        recorder = LossRecorder()
        shuffle = random.Random(self.seed)
        stop = own + o.max_train_steps - done
        for epoch in range(first_epoch, self.epochs):
            print(f"\nepoch {epoch + 1}/{self.epochs}")
            order = list(self.images)
            shuffle.shuffle(order)
            losses = []
            for number in range(in_first if epoch == first_epoch else 0, self.per_epoch):
                if own >= stop:
                    break
                step = own + 1
                if o.oom_at_step == step:
                    raise OutOfMemoryError(
                        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.65 GiB of which "
                        "1.44 GiB is free. Including non-PyTorch memory, this process has 22.19 GiB memory in use."
                    )
                if o.fail_at_step == step:
                    raise RuntimeError(f"the run was told to fail at step {step}")
                batch = order[number * o.train_batch_size : (number + 1) * o.train_batch_size]
                loss = self.batch_loss(batch, self.updates)
                self.updates += 1
                rate = learning_rate(o, self.updates - 1, o.max_train_steps)
                for adapter in self.network.values():
                    adapter.step(rate, self.updates)
                if o.nan_at_step and step >= o.nan_at_step:
                    loss = float("nan")
                time.sleep(o.sleep)
                own = step
                recorder.add(number, loss)
                losses.append(loss)
                if o.save_every_n_steps and step % o.save_every_n_steps == 0:
                    stem = f"{self.name}-step{step:08d}" if self.name else f"at-step{step:08d}"
                    self.save(f"{stem}.safetensors", step, epoch)
                    if o.save_state:
                        self.save_state(stem, self.updates, epoch + 1)
                progress.update(recorder.average)
                if writer:
                    writer.scalar("loss/current", loss, step)
                    writer.scalar("loss/average", recorder.average, step)
                    writer.scalar("lr/unet", rate, step)
            if writer and losses:
                writer.scalar("loss/epoch_average", sum(losses) / len(losses), own)
            last = epoch + 1 >= self.epochs
            if o.save_every_n_epochs and (epoch + 1) % o.save_every_n_epochs == 0 and not last:
                stem = f"{self.name}-{epoch + 1:06d}" if self.name else f"epoch-{epoch + 1:06d}"
                self.save(f"{stem}.safetensors", own, epoch + 1)
                if o.save_state:
                    self.save_state(stem, self.updates, epoch + 1)
        progress.close()
        if o.save_state:
            self.save_state(self.name or "last", self.updates, self.epochs)
        self.save(f"{self.name or 'last'}.safetensors", own, self.epochs)
        print("model saved.")


class OutOfMemoryError(RuntimeError):
    """Printed as torch prints its own."""


OutOfMemoryError.__module__ = "torch"


def main():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")
    Training(read_arguments()).run()


if __name__ == "__main__":
    main()
