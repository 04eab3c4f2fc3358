"""The commands beside `run`, `log` and `sync`: one module a command, and what several of them need."""
