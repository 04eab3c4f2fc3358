"""Recording a run: the trainer's process, what it prints and writes, the journal and the sender."""
