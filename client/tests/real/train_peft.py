"""transformers' Trainer with a PEFT adapter on a tiny random model, as a person's own script would call it.

python3 train_peft.py --output_dir out [--max_steps 12] [--logging_steps 1] [--save_steps 5] [--report_to tensorboard] [--quiet]
"""

import argparse

from peft import LoraConfig, get_peft_model
from tiny import language_model, rows
from transformers import Trainer, TrainingArguments

parser = argparse.ArgumentParser()
parser.add_argument("--output_dir", required=True)
parser.add_argument("--max_steps", type=int, default=12)
parser.add_argument("--logging_steps", type=int, default=1)
parser.add_argument("--save_steps", type=int, default=5)
parser.add_argument("--report_to", default="none")
parser.add_argument("--quiet", action="store_true", help="print no bar and no line")
options = parser.parse_args()

model = get_peft_model(language_model(), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=options.output_dir,
        max_steps=options.max_steps,
        logging_steps=options.logging_steps,
        save_steps=options.save_steps,
        report_to=options.report_to,
        disable_tqdm=options.quiet,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        use_cpu=True,
    ),
    train_dataset=[{"input_ids": row, "labels": row} for row in rows(32)],
)
if options.quiet:
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
trainer.train()
trainer.save_model()
