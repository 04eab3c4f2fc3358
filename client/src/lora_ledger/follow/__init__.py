"""Readers of what trainers write while they train: progress bars, TensorBoard event files, GPU load."""
