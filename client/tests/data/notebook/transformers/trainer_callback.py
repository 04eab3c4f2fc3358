"""The events of transformers' trainer_callback.py, called in its way: each callback by the event's name, with all that
the handler holds as keywords; what a callback returns takes the control's place."""

import dataclasses

EVENTS = (
    "on_init_end on_train_begin on_train_end on_epoch_begin on_epoch_end on_step_begin on_pre_optimizer_step "
    "on_optimizer_step on_substep_end on_step_end on_evaluate on_predict on_save on_log on_prediction_step on_push_begin"
).split()


@dataclasses.dataclass
class TrainerState:
    epoch: float = None
    global_step: int = 0
    max_steps: int = 0
    num_train_epochs: int = 0
    is_world_process_zero: bool = True


@dataclasses.dataclass
class TrainerControl:
    should_training_stop: bool = False
    should_log: bool = False
    should_save: bool = False


class TrainerCallback:
    """Answers every event with nothing."""


for _event in EVENTS:
    setattr(TrainerCallback, _event, lambda self, args, state, control, **kwargs: None)


class DefaultFlowCallback(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_training_stop or state.global_step >= state.max_steps
        return control


class CallbackHandler(TrainerCallback):
    def __init__(self, callbacks, model):
        self.callbacks, self.model = [], model
        for callback in callbacks:
            self.add_callback(callback)

    def add_callback(self, callback):
        self.callbacks.append(callback() if isinstance(callback, type) else callback)

    def on_train_begin(self, args, state, control):
        control.should_training_stop = False
        return self.call_event("on_train_begin", args, state, control)

    def on_log(self, args, state, control, logs):
        control.should_log = False
        return self.call_event("on_log", args, state, control, logs=logs)

    def call_event(self, event, args, state, control, **kwargs):
        held = dict.fromkeys(("processing_class", "optimizer", "lr_scheduler", "train_dataloader", "eval_dataloader"))
        for callback in self.callbacks:
            result = getattr(callback, event)(args, state, control, model=self.model, **held, **kwargs)
            if result is not None:
                control = result
        return control


def _handled(event):
    return lambda self, args, state, control: self.call_event(event, args, state, control)


for _event in EVENTS:
    if _event not in CallbackHandler.__dict__:
        setattr(CallbackHandler, _event, _handled(_event))
