"""A stand-in for transformers: a Trainer without a model, whose events come as transformers' own do."""

import dataclasses
import enum
import json
import os

from .trainer_callback import CallbackHandler, DefaultFlowCallback, TrainerCallback, TrainerControl, TrainerState

__all__ = ["IntervalStrategy", "Trainer", "TrainerCallback", "TrainingArguments"]


class IntervalStrategy(str, enum.Enum):
    STEPS = "steps"


@dataclasses.dataclass
class TrainingArguments:
    output_dir: str = "trainer_output"
    run_name: str = None
    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    num_train_epochs: float = 3.0
    max_steps: int = -1
    learning_rate: float = 5e-5
    optim: str = "adamw_torch_fused"
    lr_scheduler_type: str = "linear"
    save_strategy: IntervalStrategy = IntervalStrategy.STEPS
    bf16: bool = False
    fp16: bool = False
    seed: int = 42
    hub_token: str = None


class Trainer:
    """Trains nothing: the loss is 1 / step. A checkpoint is saved every second step."""

    def __init__(self, model=None, args=None, callbacks=None, fault=None):
        self.model, self.args, self.fault = model, args, fault
        self.state, self.control = TrainerState(), TrainerControl()
        self.callback_handler = CallbackHandler([DefaultFlowCallback, *(callbacks or [])], model)
        self.control = self.callback_handler.on_init_end(args, self.state, self.control)

    def add_callback(self, callback):
        self.callback_handler.add_callback(callback)

    def save_model(self, folder=None):
        folder = folder or self.args.output_dir
        os.makedirs(folder, exist_ok=True)
        header = json.dumps({"__metadata__": {"step": str(self.state.global_step)}}).encode()
        with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
        with open(os.path.join(folder, "adapter_config.json"), "w") as file:
            json.dump({"peft_type": "LORA", "r": 16}, file)

    def train(self):
        events, state, args = self.callback_handler, self.state, self.args
        state.global_step, state.epoch = 0, 0.0
        state.max_steps = args.max_steps if args.max_steps > 0 else 4
        state.num_train_epochs = 1
        self.control = events.on_train_begin(args, state, self.control)
        while state.global_step < state.max_steps and not self.control.should_training_stop:
            self.control = events.on_step_begin(args, state, self.control)
            if self.fault:
                self.fault(state.global_step)
            state.global_step += 1
            state.epoch = state.global_step / state.max_steps
            self.control = events.on_step_end(args, state, self.control)
            logs = {"loss": 1 / state.global_step, "learning_rate": args.learning_rate, "epoch": state.epoch}
            self.control = events.on_log(args, state, self.control, logs)
            if state.global_step % 2 == 0:
                self.save_model(os.path.join(args.output_dir, f"checkpoint-{state.global_step}"))
                self.control = events.on_save(args, state, self.control)
        summary = {"train_runtime": 1.5, "train_loss": 0.5, "total_flos": 0.0, "epoch": state.epoch}
        self.control = events.on_log(args, state, self.control, summary)
        self.control = events.on_train_end(args, state, self.control)
