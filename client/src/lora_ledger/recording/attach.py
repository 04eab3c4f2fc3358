"""Brings a run's callback into transformers' Trainer for as long as the run lasts, and leaves no trace after it.

While a run is open, `CallbackHandler.on_train_begin` of transformers (trainer_callback.py), by which each Trainer
begins to train, first adds the callback to those of its Trainer. When the last open run ends, the class is as it was.
Where transformers is imported while a run is open, that happens at its import.
"""

from __future__ import annotations

import importlib.abc
import sys
import threading
from collections.abc import Sequence
from typing import Any, Callable

from ..core import terminal

MODULE = "transformers.trainer_callback"

_lock = threading.RLock()
# Open runs: (the thread that opened it, its callback, the handlers that it was added to), the newest last.
_open: list[tuple[int, Any, list[Any]]] = []
_original: Callable[..., Any] | None = None


def attach(callback: Any) -> None:
    """From now on a Trainer that begins to train on this thread calls the callback; on others, where they have none."""
    with _lock:
        _open.append((threading.get_ident(), callback, []))
        if sys.modules.get(MODULE) is None:
            if _finder not in sys.meta_path:
                sys.meta_path.insert(0, _finder)
        else:
            _wrap(sys.modules[MODULE])


def detach(callback: Any) -> None:
    """Takes the callback out of every Trainer that it was added to."""
    with _lock:
        handlers = [handler for _, one, handlers in _open if one is callback for handler in handlers]
        _open[:] = [entry for entry in _open if entry[1] is not callback]
        if not _open:
            _unwrap()
            if _finder in sys.meta_path:
                sys.meta_path.remove(_finder)
    for handler in handlers:
        handler.callbacks[:] = [one for one in handler.callbacks if one is not callback]


def current() -> Any:
    """The callback of the newest run that this thread has opened, else of the newest at all; None without any."""
    with _lock:
        mine = [entry for entry in _open if entry[0] == threading.get_ident()] or _open
        return mine[-1][1] if mine else None


def _wrap(module: Any) -> None:
    global _original
    handler_class = getattr(module, "CallbackHandler", None)
    with _lock:
        if _original is not None or handler_class is None:
            return
        original = _original = handler_class.on_train_begin

    def on_train_begin(self: Any, *args: Any, **more: Any) -> Any:
        try:
            _add(self)
        except Exception as error:
            terminal.trouble(error)
        return original(self, *args, **more)

    handler_class.on_train_begin = on_train_begin


def _unwrap() -> None:
    global _original
    module = sys.modules.get(MODULE)
    if _original is not None and module is not None:
        module.CallbackHandler.on_train_begin = _original
    _original = None


def _add(handler: Any) -> None:
    callback = current()
    if callback is None or callback.is_among(handler.callbacks):
        return
    with _lock:
        for _, one, handlers in _open:
            if one is callback:
                handlers.append(handler)
    handler.callbacks.append(callback)


class _Finder(importlib.abc.MetaPathFinder):
    """Waits for the import of transformers' callbacks, which it leaves to the finders behind it."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if fullname != MODULE:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                break
        else:
            return None
        loader: Any = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is not None:

            def exec_module(module: Any) -> None:
                execute(module)
                with _lock:
                    if _open:
                        _wrap(module)

            loader.exec_module = exec_module
        return spec


_finder = _Finder()
