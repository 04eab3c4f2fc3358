"""Asks the ledger with W&B's real client, online, and shows what its user reads."""

import wandb

try:
    wandb.init(project="p", settings=wandb.Settings(init_timeout=20))
except Exception as error:
    print("REFUSED", error)
