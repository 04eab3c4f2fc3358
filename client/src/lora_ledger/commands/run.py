"""`run` and `sync` with what `safe` needs to know afterwards: which runs this box had, and where they wrote."""

import os

from ..core import terminal

from ..recording import sync as sending
from ..core.reading import open_file
from ..core.redact import redact_command
from ..recording.run import RunCommand, find_config
from ..trainers import recognise
from . import safe
from .box_records import Record


def output_folders(command, config, output_dir):
    """The folders that a command will write to, as its trainer's module finds them; none when nobody can tell."""
    try:
        path = config or find_config(command)
        text = None
        if path:
            with open_file(path) as file:
                text = file.read(4 * 1024 * 1024).decode("utf-8", "replace")
        return recognise(command, text, os.getcwd(), output_dir).folders()
    except Exception as error:
        # Without it every file found later counts as this run's, which errs on the safe side.
        terminal.trouble(error)
        return []


def run(settings, options, command, kind=RunCommand):
    """Runs a trainer and records it; returns the trainer's exit code. Says at the end whether the box may go."""
    runner = kind(settings, options, command)
    folders = output_folders(command, options.config, options.output_dir)
    record = Record(settings.spool, redact_command(command), folders)
    record.begin(runner)
    try:
        return runner.run()
    finally:
        record.end(runner)
        # A box that is being reclaimed has no time left for questions.
        if not (runner.preempted or runner.superseded):
            safe.tell_at_end(settings, runner)


def sync(settings, again=False):
    """Sends all spooled runs, with `again` also what was refused before, and notes the tasks of those that were registered by it. Returns the exit code."""
    waiting = safe.unregistered(settings)
    code = sending.sync(settings, again)
    safe.learn(settings, waiting)
    return code
