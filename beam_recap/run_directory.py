"""An output directory belongs to one config and one input; of its jobs, each does the whole input or a slice of it.

``_checkpoint/run.json`` says which config, ``input.json`` which files, ``slices/`` which slices have begun. On local
disks a lock, which ends with its process, keeps a second run of the same rows away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from beam_recap import files
from beam_recap.config import FILES_OF, RecapConfig
from beam_recap.flag import ConfigError
from beam_recap.flag_values import as_text
from beam_recap.inputs import manifest
from beam_recap.isolation import describe_error
from beam_recap.slices import Slice

DIRECTORY = "_checkpoint"
_SLICES = "slices"


class Claim:
    """The right to write a directory: the number of this attempt, and the locks that others see until `release`."""

    def __init__(self, attempt: int, locks: list[int]):
        self.attempt = attempt  # from 1, greater than that of all earlier ones
        self._locks = locks  # open files, by number: forgotten, they stay locked until the process ends

    def release(self) -> None:
        """Lets other runs in."""
        while self._locks:
            os.close(self._locks.pop())


def check(config: RecapConfig, shards: Mapping[str, str] | None = None) -> None:
    """Looks whether this config's run may begin or go on in its output directory; writes nothing.

    Args:
      config: what is to be done.
      shards: the input's files, as `manifest.describe` gives them; None where they never change.

    Raises:
      ConfigError: the directory belongs to another config, input or cut into slices, or holds files of something else.
    """
    _checked_run(config, shards)


def _checked_run(config: RecapConfig, shards: Mapping[str, str] | None) -> dict[str, Any] | None:
    """What ``run.json`` holds, if the run may go on; None in a new directory."""
    run = _read_run(config)
    if run is None:
        return None
    if run["identity"] != config.identity():
        raise ConfigError("output", config.output, _difference(run["identity"], config.identity()))
    _check_slice(config, run["slices"])
    path = files.join(config.output, DIRECTORY, "input.json")
    if shards is not None and files.exists(path):
        problem = manifest.difference(json.loads(files.read_bytes(path)), shards)
        if problem is not None:
            remedy = "bring the input back as it was, or give a new --output"
            raise ConfigError("input", ",".join(config.input), f"{problem}; {remedy}")
    return run


def claim(config: RecapConfig, shards: Mapping[str, str] | None = None) -> Claim:
    """Marks the output directory as this config's. Arguments and errors are those of `check`.

    Raises:
      ConfigError: also if another process is writing there now.
    """
    locks: list[int] = []
    try:
        files.make_directory(files.join(config.output, DIRECTORY))
        locks = _lock(config)
        return Claim(_begin(config, shards), locks)
    except Exception as error:
        Claim(0, locks).release()
        if isinstance(error, ConfigError):
            raise
        # No permission, a full disk, no network.
        remedy = f"cannot be written ({describe_error(error)}); put that right, or give another directory"
        raise ConfigError("output", config.output, remedy) from error


def _begin(config: RecapConfig, shards: Mapping[str, str] | None) -> int:
    run = _checked_run(config, shards) or {"identity": config.identity(), "digest": config.digest(), "attempts": 0}
    if config.part is None:
        attempt = 1 + max([run["attempts"], *_slice_attempts(config.output).values()])
        run.update(slices=None, attempts=attempt)
    else:
        attempt = 1 + _slice_attempts(config.output).get(config.part.tag, 0)
        run.update(slices=config.part.total)
    if shards is not None and not files.exists(path := files.join(config.output, DIRECTORY, "input.json")):
        _write_json(path, dict(shards))
    if config.part is None or attempt == 1:
        _write_json(files.join(config.output, DIRECTORY, "run.json"), run)
    if config.part is not None:
        _write_json(_slice_path(config.output, config.part), {"attempts": attempt})
    return attempt


def _read_run(config: RecapConfig) -> dict[str, Any] | None:
    """What ``run.json`` holds; None in a new directory."""
    path = files.join(config.output, DIRECTORY, "run.json")
    # Looked for twice: the first job of many may be writing it.
    if not files.exists(path):
        if not files.holds_files(config.output):
            return None
        if not files.exists(path):
            remedy = "is not empty and holds no checkpoint of this project; give a new directory"
            raise ConfigError("output", config.output, remedy)
    try:
        run = json.loads(files.read_bytes(path))
        slices = run.get("slices")
        dict(run["identity"])
        return {**run, "attempts": int(run["attempts"]), "slices": None if slices is None else int(slices)}
    except (ValueError, KeyError, TypeError, AttributeError):
        remedy = f"has a {DIRECTORY}/run.json that cannot be read; give a new directory"
        raise ConfigError("output", config.output, remedy) from None


def _check_slice(config: RecapConfig, slices: int | None) -> None:
    if config.part is None or slices == config.part.total:
        return  # the whole input's run takes over what slices have done
    if slices is None:
        remedy = f"{config.output} holds a run of the whole input; leave --slice out, or give a new --output"
    else:
        remedy = f"{config.output} is cut into {slices} slices; give I/{slices}, or a new --output"
    raise ConfigError("slice", config.part, remedy)


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    changed = []
    for name in names:
        flag = name.removesuffix(FILES_OF)
        if flag == name:
            changed.append(f"--{name} was {as_text(theirs.get(name))}, now {as_text(ours.get(name))}")
        elif flag not in names:
            changed.append(f"the files of --{flag}={as_text(ours.get(flag))} have changed")
    return f"holds another run ({'; '.join(changed)}); give a new directory, or the flags of that run"


def _slice_path(output: str, part: Slice) -> str:
    return files.join(output, DIRECTORY, _SLICES, f"{part.tag}.json")


def _slice_attempts(output: str) -> dict[str, int]:
    """Attempts so far, by the slices' tags."""
    paths = files.match_in(files.join(output, DIRECTORY, _SLICES), "*.json")
    attempts = {path.rsplit("/", 1)[-1]: json.loads(files.read_bytes(path))["attempts"] for path in paths}
    return {name.removesuffix(".json"): count for name, count in attempts.items()}


def _write_json(path: str, value: object) -> None:
    files.write_alone(path, (json.dumps(value, indent=1) + "\n").encode())


def _lock(config: RecapConfig) -> list[int]:
    """Locks the directory: for one job of the whole input, or for any number of different slices."""
    if "://" in config.output:
        return []
    import fcntl

    wanted = [("run", fcntl.LOCK_EX if config.part is None else fcntl.LOCK_SH)]
    if config.part is not None:
        wanted.append((config.part.tag, fcntl.LOCK_EX))
    locks: list[int] = []
    for name, kind in wanted:
        path = files.join(config.output, DIRECTORY, f"{files.LOCK}-{name}")
        locks.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
        try:
            # A lock of the process: its children do not hold it on when it is killed.
            fcntl.lockf(locks[-1], kind | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            Claim(0, locks).release()
            problem = "is being written by another run; wait until it ends, or give a new directory"
            raise ConfigError("output", config.output, problem) from None
        except OSError:
            pass  # not every file system has locks
    return locks
