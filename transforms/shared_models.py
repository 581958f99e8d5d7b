"""One copy of a model per process, however many DoFns and threads use it."""

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
