"""`%%ledger` in a real kernel, and `track()` with objects like those of transformers, TRL and PEFT.

The kernel needs ipykernel and jupyter_client from PyPI: its tests say so and are skipped where they cannot be had.
"""

import copy
import json
import os
import pickle
import queue
import re
import subprocess
import sys
import threading
import time
import types
import unittest
import venv
from pathlib import Path

from lora_ledger.core import withhold
from lora_ledger.recording import attach, namespace
from lora_ledger.recording.callback import Callback
from tests.helpers import ROOT, ClientCase

PACKAGES = ("ipykernel==6.31.0", "jupyter_client==8.6.3")
CODES = re.compile(r"\x1b\[[0-9;]*m")


def kernel_python():
    """(a Python that has Jupyter's kernel, "") or (None, why there is none). LEDGER_TEST_KERNEL names another one."""
    named = os.environ.get("LEDGER_TEST_KERNEL")
    if named:
        return named, ""
    name = f"kernel-{PACKAGES[0].partition('==')[2]}-py{sys.version_info[0]}.{sys.version_info[1]}"
    folder = ROOT / ".local" / "tools" / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = folder / "installed"
    if done.exists():
        return str(python), ""
    try:
        # Made anew where an earlier try was broken off.
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace")
        return None, f"ipykernel cannot be installed from PyPI: {said[-300:] or error}"
    done.touch()
    return str(python), ""


class Kernel:
    """A kernel and the events that it has sent."""

    def __init__(self, python, environment, cwd):
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name("kernel_bridge.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=cwd,
            text=True,
            encoding="utf-8",
        )
        self.events = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.next()

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put(None)

    def next(self):
        event = self.events.get(timeout=120)
        if event is None:
            raise AssertionError(f"the kernel's bridge ended with {self.process.wait()}")
        return event

    def send(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def run(self, code, on_text=None):
        """What a cell came to: its text, its last value, its error and its status. `on_text(so_far)` may act on it."""
        self.send(run=code)
        text, cell = "", {"result": None, "error": None, "traceback": "", "value": ""}
        while True:
            event = self.next()
            text += event.get("stream", "")
            if on_text and "stream" in event and on_text(text):
                on_text = None
            cell.update({k: v for k, v in event.items() if k in ("result", "error", "value")})
            if "traceback" in event:
                cell["traceback"] = CODES.sub("", "\n".join(event["traceback"]))
            if "done" in event:
                return {**cell, "text": text, "status": event["done"]}

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


PYTHON, NO_KERNEL = kernel_python()
STAND_INS = ROOT / "client" / "tests" / "data" / "notebook"
LOOK = """
from transformers.trainer_callback import CallbackHandler
print("wrapped:", CallbackHandler.on_train_begin.__module__)
"""


class NotebookCase(ClientCase):
    """What the tests ask of a recorded run."""

    def environment(self, **extra):
        path = os.pathsep.join([super().environment()["PYTHONPATH"], str(STAND_INS)])
        own = {"PYTHONPATH": path, "HOME": str(self.folder), "IPYTHONDIR": str(self.folder / "ipython")}
        return super().environment(**own, JUPYTER_RUNTIME_DIR=str(self.folder / "runtime"), **extra)

    def task(self, number):
        self.wait_for(lambda: number in self.server.tasks, what=f"task {number}")
        return self.server.tasks[number]

    def config(self, number):
        return json.loads(self.task(number)["fields"]["config"]["text"])


@unittest.skipIf(NO_KERNEL, NO_KERNEL)
class KernelTest(NotebookCase):
    def setUp(self):
        super().setUp()
        self.serve()
        self.kernel = Kernel(PYTHON, self.environment(), self.folder)
        self.addCleanup(self.kernel.close)
        self.cell("%load_ext lora_ledger")

    def cell(self, code, on_text=None, status="ok"):
        cell = self.kernel.run(code, on_text)
        self.assertEqual(cell["status"], status, cell)
        return cell

    TRAIN = """
from trl import SFTConfig, SFTTrainer
from peft import LoraConfig, get_peft_model
HF_TOKEN = "hf_abcdefghijklmnopqrstuvwx12"
MAX_SEQ_LENGTH = 2048
lora = LoraConfig(r=16, lora_alpha=32, target_modules={"v_proj", "q_proj"}, task_type="CAUSAL_LM")
args = SFTConfig(output_dir="aki", max_steps=4, learning_rate=2e-4, bf16=True, hub_token=HF_TOKEN)
trainer = SFTTrainer(get_peft_model(None, lora), args)
"""

    def test_a_trainer_made_and_trained_in_the_cell(self):
        cell = self.cell(f"%%ledger\n{self.TRAIN}trainer.train()\ntrainer.save_model()\nprint('trained')\n6 * 7")
        self.assertEqual(cell["result"], "42")
        self.assertIn("trained\n", cell["text"])
        self.assertEqual(cell["text"].count(f"{self.server.url}/runs/1"), 1, cell["text"])
        found = self.config(1)
        self.assertEqual((found["form"], found["library"]), ("notebook", "trl"))
        self.assertEqual(found["model"], {"class": "PeftModel", "name_or_path": "org/Llama-3B"})
        self.assertEqual(found["training_arguments"]["learning_rate"], 2e-4)
        self.assertEqual(found["training_arguments"]["save_strategy"], "steps")
        peft = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"]}
        self.assertEqual({name: found["peft_config"][name] for name in peft}, peft)
        self.assertEqual(found["variables"], {"MAX_SEQ_LENGTH": 2048})
        self.assertNotIn("hf_abc", json.dumps(self.task(1)["fields"]))
        self.assertEqual(self.task(1)["fields"]["trainer"], "trl")
        self.assertNotIn("command", self.task(1)["fields"])
        self.assertEqual(self.task(1)["finish"]["status"], "success")
        self.assertEqual(self.server.points(1, "loss"), {step: 1 / step for step in range(1, 5)})
        self.assertEqual(self.server.points(1, "train_loss"), {4: 0.5})
        self.assertEqual(self.server.points(1, "train_runtime"), {})
        progress = self.server.progress(1)
        self.assertEqual((progress["step"], progress["total_steps"], progress["percent"]), (4, 4, 100))
        names = ("adapter_model.safetensors", "adapter_config.json")
        folders = ("", "checkpoint-2/", "checkpoint-4/")
        self.assertEqual(sorted(self.server.held(1)), sorted(folder + name for folder in folders for name in names))
        kinds = {w["filename"]: (w["kind"], w.get("step")) for w in self.server.weights.values()}
        self.assertEqual(kinds["adapter_model.safetensors"], ("final", None))
        self.assertEqual(kinds["checkpoint-2/adapter_model.safetensors"], ("checkpoint", 2))
        # Nothing of it stays in transformers.
        self.assertIn("wrapped: transformers.trainer_callback", self.cell(LOOK)["text"])
        look = self.cell("[type(c).__name__ for c in trainer.callback_handler.callbacks], __import__('sys').meta_path")
        self.assertIn("(['DefaultFlowCallback'],", look["result"])
        self.assertNotIn("lora_ledger", look["result"])

    def test_a_trainer_of_an_earlier_cell_and_the_cell_once_more(self):
        self.cell(self.TRAIN)
        for number in (1, 2):
            self.cell("%%ledger --group aki --tag kind=style --no-files --no-variables\ntrainer.train()")
            self.assertEqual(self.config(number)["peft_config"]["r"], 16)
            self.assertNotIn("variables", self.config(number))
            self.assertEqual(self.server.points(number, "loss"), {step: 1 / step for step in range(1, 5)})
        self.assertEqual(len(self.server.tasks), 2)
        fields = self.task(2)["fields"]
        self.assertEqual((fields["experiment_group"], fields["tags"]), ("aki", {"kind": "style"}))
        self.assertEqual(self.server.weights, {})
        # Without the magic it trains unrecorded.
        self.cell("trainer.train()")
        self.assertEqual(len(self.server.tasks), 2)

    def test_a_loop_and_two_trainings_in_one_cell(self):
        self.cell("%%ledger --name loop --as run\nRANK = 4\nfor n in (1, 2): run.log(loss=n)")
        self.assertEqual((self.task(1)["fields"]["task_name"], self.config(1)["variables"]), ("loop", {"RANK": 4}))
        self.assertEqual(self.server.points(1, "loss"), {1: 1, 2: 2})
        text = self.cell(f"%%ledger --no-files\n{self.TRAIN}trainer.train()\ntrainer.train()")["text"]
        self.assertIn("steps are counted on from 4", text)
        self.assertEqual(self.server.points(2, "loss"), {n: 1 / (n if n < 5 else n - 4) for n in range(1, 9)})

    def test_how_a_cell_ends(self):
        raising = {
            "raise ValueError(f'bad {HF_TOKEN}')": ("ValueError: bad [redacted]", "error"),
            "raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')": (
                "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB",
                "oom",
            ),
            "class OutOfMemoryError(RuntimeError): pass\nraise OutOfMemoryError()": ("OutOfMemoryError: ", "oom"),
            "raise MemoryError": ("MemoryError: ", "oom"),
        }
        self.cell("HF_TOKEN = 'hf_abcdefghijklmnopqrstuvwx12'")
        for number, (code, (message, reason)) in enumerate(raising.items(), 1):
            cell = self.cell(f"%%ledger\nprint('before')\n{code}", status="error")
            self.assertIn("before", cell["text"])
            self.assertIn(code.splitlines()[-1], cell["traceback"])
            end = self.task(number)["finish"]
            got = end["status"], end["error_message"].strip(), end["failure_reason"]
            self.assertEqual(got, ("failed", message.strip(), reason))

    def test_an_interrupted_cell(self):
        def interrupt(text):
            if "sleeping" not in text:
                return False
            self.kernel.send(interrupt=True)
            return True

        code = "import time\nprint('sleeping', flush=True)\ntime.sleep(120)"
        cell = self.cell(f"%%ledger\n{code}", on_text=interrupt, status="error")
        self.assertEqual(cell["error"], "KeyboardInterrupt")
        self.assertEqual(self.task(1)["finish"]["status"], "cancelled")
        # The kernel goes on, and so does recording.
        self.cell("%%ledger\npass")
        self.assertEqual(self.task(2)["finish"]["status"], "success")

    def test_what_is_no_cell_is_no_run(self):
        for line, code, error in (
            ("--tag x", "pass", "UsageError"),
            ("--as 1", "pass", "UsageError"),
            ("--unknown", "pass", "UsageError"),
            ("'", "pass", "UsageError"),
            ("", "1 +", "SyntaxError"),
            ("", "await nothing()", "SyntaxError"),
        ):
            cell = self.cell(f"%%ledger {line}\n{code}", status="error")
            self.assertIn(error, (cell["error"], cell["text"].strip().partition(":")[0]))
        self.assertIn("--output-dir", self.cell("%%ledger --help\n1 / 0")["text"])
        self.assertEqual(self.server.tasks, {})

    def test_a_cancelled_run_stops_its_trainer(self):
        self.cell(self.TRAIN)
        self.cell(
            "import time\ndef wait(step):\n    if step == 2:\n        print('waiting', flush=True)\n"
            "        while not run.cancel_requested: time.sleep(0.05)\ntrainer.fault = wait"
        )

        def cancel(text):
            if "waiting" not in text:
                return False
            self.task(1)["cancel"] = True
            return True

        self.cell("%%ledger --as run\ntrainer.train()\nprint(trainer.state.global_step)", on_text=cancel)
        self.assertEqual(self.task(1)["finish"]["status"], "cancelled")
        self.assertEqual(self.task(1)["finish"]["error_message"], "cancelled in the ledger")
        self.assertEqual(max(self.server.points(1, "loss")), 3)

    def test_a_killed_kernel_leaves_its_spool(self):
        def kill(text):
            if "training" not in text:
                return False
            self.wait_for(lambda: self.task(1)["attempts"] and self.server.points(1, "loss"), what="the point")
            self.kernel.send(kill=True)
            return True

        code = "run.log(step=1, loss=0.5)\nimport time\nprint('training', flush=True)\ntime.sleep(120)"
        self.cell(f"%%ledger --as run\n{code}", on_text=kill, status="killed")
        self.assertIsNone(self.task(1)["finish"])
        self.assertEqual(self.run_client("sync")[0], 0)
        self.assertEqual(self.server.points(1, "loss"), {1: 0.5})

    def test_no_ledger_harms_no_cell(self):
        self.server.close()
        self.cell("import os\nos.environ['LEDGER_FLUSH_TIMEOUT'] = '0.3'")
        cell = self.cell(f"%%ledger\n{self.TRAIN}trainer.train()\n'done'")
        self.assertEqual(cell["result"], "'done'")
        self.assertIn("lora-ledger sync", cell["text"])


class ScriptTest(NotebookCase):
    """`track()` where there is no IPython."""

    def script_of(self, code):
        path = self.folder / "my_script.py"
        path.write_text(code)
        command = [sys.executable, str(path)]
        done = subprocess.run(
            command, env=self.environment(), cwd=self.folder, capture_output=True, timeout=60, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_settings_of_the_function_that_calls(self):
        self.serve()
        self.script_of(
            "import lora_ledger\nfrom peft import LoraConfig\nEPOCHS = 3\ndef main():\n    lr, note = 1e-4, 'not told'\n"
            "    lora = LoraConfig(r=4)\n    with lora_ledger.track() as run:\n        run.log(loss=1)\nmain()"
        )
        self.assertEqual(self.config(1)["variables"], {"EPOCHS": 3, "lr": 1e-4})
        self.assertEqual(self.config(1)["peft_config"]["r"], 4)
        fields = self.task(1)["fields"]
        self.assertEqual(
            (fields["task_name"], fields["command"][1:]), ("my_script", [str(self.folder / "my_script.py")])
        )

    def test_settings_that_are_given(self):
        self.serve()
        self.script_of(
            "import lora_ledger, types\nfrom transformers import TrainingArguments\nOTHER = 1\n"
            "with lora_ledger.track({'a': 1, 'b': {'c': 'text'}, 'password': 'hunter2'}): pass\n"
            "with lora_ledger.track(TrainingArguments(seed=7)): pass\n"
            "with lora_ledger.track(types.SimpleNamespace(rank=4)): pass\n"
            "with lora_ledger.track(variables=False): pass\n"
        )
        self.assertEqual(self.config(1)["variables"], {"a": 1, "b": {"c": "text"}})
        self.assertEqual(self.config(2)["training_arguments"]["seed"], 7)
        self.assertEqual(self.config(3)["variables"], {"config": {"rank": 4}})
        self.assertNotIn("OTHER", json.dumps(self.config(4)))

    def test_a_trainer_within_track_and_one_that_is_given_a_callback(self):
        self.serve()
        train = (
            "import lora_ledger, threading\nfrom transformers import Trainer, TrainingArguments\n"
            "def trainer(**more): return Trainer(None, TrainingArguments(max_steps=3), **more)\n"
        )
        self.script_of(
            f"{train}with lora_ledger.track() as run:\n    trainer().train()\n"
            "with lora_ledger.track() as run:\n    trainer(callbacks=[run.callback()]).train()\n"
            "with lora_ledger.track() as run:\n    trainer(callbacks=[lora_ledger.Callback]).train()\n"
            "with lora_ledger.track() as run:\n    thread = threading.Thread(target=lambda: trainer().train())\n"
            "    thread.start(); thread.join()\n"
        )
        for number in (1, 2, 3, 4):
            self.assertEqual(self.server.points(number, "loss"), {step: 1 / step for step in (1, 2, 3)}, number)
            self.assertEqual(self.config(number)["training_arguments"]["max_steps"], 3)

    def test_settings_that_come_too_late_are_kept_as_a_file(self):
        self.serve()
        self.script_of(
            "import lora_ledger\nfrom transformers import Trainer, TrainingArguments\n"
            "def train(): Trainer(None, TrainingArguments(max_steps=3)).train()\n"
            "import time\nwith lora_ledger.track() as run:\n    run.log(loss=1)\n"
            "    while run.task_id is None: time.sleep(0.01)\n    train()\n"
        )
        self.assertNotIn("training_arguments", self.config(1))
        late = json.loads(self.server.held(1)["notebook.json"])
        self.assertEqual(late["training_arguments"]["max_steps"], 3)

    def test_a_loop_that_heeds_a_cancel_is_cancelled(self):
        self.serve()
        self.server.faults.append(lambda *_: [task.update(cancel=True) for task in self.server.tasks.values()] and None)
        self.script_of(
            "import lora_ledger, time\nwith lora_ledger.track() as run:\n    step = 0\n"
            "    while not run.cancel_requested:\n        step += 1\n        run.log(step=step, loss=1)\n"
            "        time.sleep(0.01)\n"
        )
        self.assertEqual(self.task(1)["finish"]["status"], "cancelled")


class NamespaceTest(unittest.TestCase):
    """Which variables are settings."""

    @staticmethod
    def variables(**names):
        return namespace.collect(names)["variables"]

    def test_names_of_settings_are_taken_and_others_are_not(self):
        taken = {
            **{"LEARNING_RATE": 1e-4, "lr": 1e-4, "lora_rank": 8, "max_seq_length": 2048, "load_in_4bit": True},
            **{"model_name": "org/m", "target_modules": ["q"], "config": {"a": [1, 2]}, "betas": [0.9, 0.99]},
        }
        left = {
            **{"text": "private", "answer": 42, "model_answer": "private", "_lr": 1, "i": 3, "loss": 0.1, "rows": [1]},
            **{"X": 1, "df": {"a": 1}, "sys": sys, "Config": type, "In": ["lr = 1"], "messages": ["private"]},
        }
        self.assertEqual(self.variables(**taken, **left), taken)

    def test_secrets_stay_here(self):
        secrets = {
            **{
                "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwx12",
                "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
            },
            **{"PASSWORD": "hunter2", "DB_URL": "postgres://me:hunter22@host/db"},
        }
        found = json.dumps(self.variables(**secrets, config={"api_key": "sk-live-1234567890abcdefgh", "lr": 1}))
        for secret in (*secrets.values(), "sk-live", "hunter22"):
            self.assertNotIn(secret, found)
        self.assertIn('"lr": 1', found)
        self.addCleanup(withhold.forget)
        self.assertEqual(withhold.from_text(f"say {secrets['HF_TOKEN']}"), "say [redacted]")

    def test_everything_is_bounded(self):
        deep = last = {}
        for _ in range(1000):
            last["config"] = last = {}
        last["a"] = 1
        circle = {}
        circle["config"] = circle
        wide = {f"k{n}": {f"k{m}": [0] * 150 for m in range(300)} for n in range(300)}
        began = time.monotonic()
        found = namespace.collect(
            {
                **{"a_config": deep, "b_config": circle, "c_config": wide, "TEXT": "x" * 10_000, "LIST": [0] * 10_000},
                **{f"RATE{n}": n for n in range(5000)},
                **{f"{'N' * 200}": 1, "HUGE": 10**400, "NAN": float("nan")},
            }
        )
        self.assertLess(len(json.dumps(found)), 250_000)
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(namespace.collect({f"RATE{n}": n for n in range(30_000)})["variables"], {})

    def test_objects_that_fail_or_pretend_harm_nothing(self):
        class Hostile:
            def __getattr__(self, name):
                raise RuntimeError(name)

            @property
            def __dict__(self):
                raise RuntimeError("dict")

            __eq__ = __len__ = __iter__ = __str__ = __getattr__

        class TrainingArguments:
            learning_rate = 1

            def to_dict(self):
                raise RuntimeError("to_dict")

        class PeftModel:
            @property
            def peft_config(self):
                raise RuntimeError("peft_config")

        names = {
            "config": Hostile(),
            "args": TrainingArguments(),
            "model": PeftModel(),
            "lr": 1,
            "class_config": Hostile,
        }
        self.assertEqual(namespace.collect(names), {"form": "notebook", "variables": {"lr": 1}})
        self.assertEqual(namespace.collect({}, Hostile(), Hostile())["form"], "notebook")

    def test_several_objects_are_told_apart(self):
        sys.path.insert(0, str(STAND_INS))
        self.addCleanup(sys.path.remove, str(STAND_INS))
        import peft

        a, b = peft.LoraConfig(r=4), peft.LoraConfig(r=8)
        self.assertEqual(namespace.collect({"a": a, "same": a})["peft_config"]["r"], 4)
        found = namespace.collect({"a": a, "b": b})
        self.assertNotIn("peft_config", found)
        self.assertEqual({name: one["r"] for name, one in found["several"]["peft_config"].items()}, {"a": 4, "b": 8})
        # What the model holds is what trains; a model without an adapter has none.
        self.assertEqual(namespace.collect({"a": a, "b": b}, None, peft.PeftModel(b))["peft_config"]["r"], 8)
        self.assertNotIn("peft_config", namespace.collect({"a": a}, None, object()))


class CallbackTest(unittest.TestCase):
    def test_it_answers_every_event_and_raises_nothing(self):
        for callback in (Callback(), copy.deepcopy(Callback()), pickle.loads(pickle.dumps(Callback()))):
            for event in ("on_init_end", "on_train_begin", "on_step_end", "on_log", "on_save", "on_of_a_later_version"):
                self.assertIsNone(
                    getattr(callback, event)(object(), object(), object(), logs={"loss": "x"}, model=None)
                )
            self.assertFalse(hasattr(callback, "other"))

    def test_it_comes_to_the_newest_run_and_leaves_nothing(self):
        handler = type("CallbackHandler", (), {"on_train_begin": lambda self: len(self.callbacks)})
        original = handler.on_train_begin
        module = types.ModuleType(attach.MODULE)
        module.CallbackHandler = handler
        sys.modules[attach.MODULE] = module
        self.addCleanup(sys.modules.pop, attach.MODULE)
        outer, inner = Callback(object()), Callback(object())
        one, other = handler(), handler()
        one.callbacks, other.callbacks = ["theirs"], []
        attach.attach(outer)
        attach.attach(inner)
        self.assertEqual(one.on_train_begin(), 2)
        self.assertEqual(one.on_train_begin(), 2)
        self.assertIs(one.callbacks[1], inner)
        # Runs may end in any order.
        attach.detach(outer)
        self.assertEqual(other.on_train_begin(), 1)
        attach.detach(inner)
        self.assertEqual((one.callbacks, other.callbacks), (["theirs"], []))
        self.assertIs(handler.on_train_begin, original)
        self.assertEqual([finder for finder in sys.meta_path if type(finder).__module__ == attach.__name__], [])


if __name__ == "__main__":
    unittest.main()
