"""Runs of the past, out of what people and other tools keep: spreadsheets, archives, MLflow, Weights & Biases."""
