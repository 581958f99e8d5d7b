"""A cluster model as a folder of plain arrays with a manifest, local or ``gs://``.

``centroids.npy`` float32 ``[k, d]``; with a PCA ``pca_mean.npy`` float64 ``[D]`` and ``pca_components.npy`` float64
``[d, D]``; and ``manifest.json``: what the model was made of and with, and the sha256 of each file.

A folder of another's arrays is a model too, without a manifest: ``centroids.npy`` alone, or with a PCA in arrays of
scikit-learn's names: ``mean_.npy`` and ``components_.npy``, or ``pca.npz`` that holds ``mean_`` and ``components_``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from beam_recap import files
from beam_recap.clusters.arrays import MAX_ARRAY_BYTES, ArrayError, array_bytes, read_array, read_npz
from beam_recap.clusters.model import ClusterModel, ClusterModelError
from beam_recap.clusters.nearest import Metric
from beam_recap.isolation import describe_error

FORMAT = "beam-recap clusters 1"
MANIFEST = "manifest.json"
CENTROIDS = "centroids.npy"
_PCA = ("pca_mean.npy", "pca_components.npy")
_PCA_ELSEWHERE = ("mean_.npy", "components_.npy")  # as scikit-learn calls them
_PCA_ARCHIVE = "pca.npz"
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILE_BYTES = MAX_ARRAY_BYTES + (1 << 20)


def save(folder: str, model: ClusterModel, facts: dict[str, Any]) -> None:
    """Writes a model, replacing the one that the folder may hold (`check_replaceable`).

    A folder without ``centroids.npy`` is no model. So that file goes first and comes last, and whenever the process
    ends, what lies there is a whole model or none.

    Args:
      folder: where to; it is made.
      model: the model.
      facts: what else the manifest says, as JSON values.
    """
    arrays = {CENTROIDS: model.centroids}
    projection = model.projection
    if projection.mean is not None and projection.components is not None:
        arrays |= dict(zip(_PCA, (projection.mean, projection.components), strict=True))
    contents = {name: array_bytes(array) for name, array in arrays.items()}
    manifest = {
        "format": FORMAT,
        "metric": str(model.metric),
        "normalise": projection.normalise,
        "arrays": {
            name: {
                "shape": list(array.shape),
                "dtype": str(array.dtype),
                "sha256": hashlib.sha256(contents[name]).hexdigest(),
            }
            for name, array in arrays.items()
        },
        **facts,
    }
    files.delete([files.join(folder, name) for name in (CENTROIDS, *_PCA)])
    files.write_bytes(files.join(folder, MANIFEST), (json.dumps(manifest, indent=1) + "\n").encode())
    for name in reversed(arrays):
        files.write_bytes(files.join(folder, name), contents[name])


def load(folder: str, *, metric: Metric | None = None, normalise: bool | None = None) -> ClusterModel:
    """Reads a model.

    Args:
      folder: with or without a manifest.
      metric: what nearest means where no manifest says it; L2 by default.
      normalise: whether embeddings are divided by their length first, where no manifest says it; they are not by
        default.

    Raises:
      ClusterModelError: no model is there, its arrays do not fit each other or the manifest, or the manifest says
        something else than the arguments.
    """
    with _as_model_errors(folder):
        manifest = _manifest(folder)
        metric = _agreed("metric", metric, Metric.L2, None if manifest is None else Metric(manifest["metric"]))
        normalise = _agreed("normalise", normalise, False, None if manifest is None else bool(manifest["normalise"]))
        contents = _contents(folder) if manifest is None else _contents_as_in(folder, manifest)
        arrays = [_read(name, data) for name, data in contents.items() if name != _PCA_ARCHIVE]
        if _PCA_ARCHIVE in contents:
            arrays += _read_archive(contents[_PCA_ARCHIVE])
        return ClusterModel(*arrays, metric=metric, normalise=normalise)


def check_replaceable(folder: str) -> bool:
    """Whether the folder holds a model that `save` wrote, or began to write; False where it holds nothing.

    Raises:
      ClusterModelError: it cannot be a folder, cannot be written or holds something else.
    """
    if "://" not in folder:
        place = files.nearest_existing(folder)
        if not os.path.isdir(place):
            raise ClusterModelError(f"cannot be a folder, because {place} is a file")
        if not os.access(place, os.W_OK | os.X_OK):
            raise ClusterModelError(f"cannot be written, because {place} is read-only")
    try:
        if not files.holds_files(folder):
            return False
        found = _manifest(folder)
    except ClusterModelError:
        found = None
    except Exception as error:  # no such file system, no credentials, no network
        raise ClusterModelError(f"cannot be read ({describe_error(error)})") from None
    if found is None:
        raise ClusterModelError("is not empty and holds no cluster model of this project")
    return True


@contextlib.contextmanager
def _as_model_errors(folder: str) -> Iterator[None]:
    """Whatever is wrong becomes a sentence that names the folder."""
    try:
        yield
    except (ClusterModelError, ArrayError) as error:
        raise ClusterModelError(f"{folder}: {error}") from error
    except Exception as error:  # a file system's own errors
        raise ClusterModelError(f"{folder} cannot be read ({describe_error(error)})") from error


def _manifest(folder: str) -> dict[str, Any] | None:
    path = files.join(folder, MANIFEST)
    if not files.exists(path):
        return None
    with files.open_read(path) as file:
        data = file.read(_MAX_MANIFEST_BYTES + 1)
    try:
        if len(data) > _MAX_MANIFEST_BYTES:
            raise ValueError("too large")
        manifest = json.loads(data)
        names = manifest["arrays"]
        known = (
            manifest["format"] == FORMAT
            and manifest["metric"] in list(Metric)
            and isinstance(manifest["normalise"], bool)
            and list(names) in ([CENTROIDS], [CENTROIDS, *_PCA])
            and all(isinstance(facts["sha256"], str) for facts in names.values())
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise ClusterModelError(f"its {MANIFEST} is not one of this project's cluster models")
    return manifest


def _agreed(name: str, given: Any, usual: Any, recorded: Any) -> Any:
    if recorded is None:
        return usual if given is None else given
    if given is not None and given != recorded:
        raise ClusterModelError(f"its {MANIFEST} says {name}={recorded}, not {given}")
    return recorded


def _contents_as_in(folder: str, manifest: dict[str, Any]) -> dict[str, bytes]:
    contents = {name: _bytes(folder, name) for name in manifest["arrays"]}
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != manifest["arrays"][name]["sha256"]:
            raise ClusterModelError(f"{name} is not the file that its {MANIFEST} tells of")
    return contents


def _contents(folder: str) -> dict[str, bytes]:
    """The files of a model without a manifest, the centroids first."""
    found = {
        names: [name for name in names if files.exists(files.join(folder, name))]
        for names in (_PCA, _PCA_ELSEWHERE, (_PCA_ARCHIVE,))
    }
    parts = [names for names, there in found.items() if there]
    if len(parts) > 1:
        raise ClusterModelError(f"it holds more than one PCA: {', '.join(name for names in parts for name in names)}")
    for names in parts:
        for name in names:
            if name not in found[names]:
                raise ClusterModelError(f"it holds {found[names][0]}, but no {name}")
    return {name: _bytes(folder, name) for name in (CENTROIDS, *(parts[0] if parts else ()))}


def _bytes(folder: str, name: str) -> bytes:
    path = files.join(folder, name)
    if not files.exists(path):
        raise ClusterModelError(f"it holds no {name}")
    with files.open_read(path) as file:
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise ClusterModelError(f"{name} has more than {MAX_ARRAY_BYTES >> 30} GiB")
    return data


def _read(name: str, data: bytes) -> np.ndarray:
    try:
        return read_array(io.BytesIO(data))
    except ArrayError as error:
        raise ClusterModelError(f"{name} {error}") from error


def _read_archive(data: bytes) -> list[np.ndarray]:
    try:
        return read_npz(io.BytesIO(data), ("mean_", "components_"))
    except ArrayError as error:
        raise ClusterModelError(f"{_PCA_ARCHIVE} {error}") from error
