"""One copy of a model per process, or per machine, however many DoFns and threads use it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Model = TypeVar("Model")

_LOCK = threading.Lock()
_MODELS: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()


def shared_model(key: Hashable, load: Callable[[], Model]) -> Model:
    """The process's model for ``key``, loaded by the first who asks and dropped with the last who holds it."""
    with _LOCK:
        model = _MODELS.get(key)
        if model is None:
            model = _MODELS[key] = load()
        return model


def machine_model(name: str, load: Callable[[], Model]) -> Any:
    """The machine's model of this name, loaded by the first process that asks: itself there, a proxy elsewhere.

    Of a proxy only methods can be called; what they take and give is pickled. Another process waits while it is loaded.
    """
    from apache_beam.utils.multi_process_shared import MultiProcessShared

    return MultiProcessShared(load, name).acquire()
