"""Google's account and buckets, looked at once before a run begins: what cannot work is a sentence within seconds.

Left alone, Beam looks for an account five times in every process, with tracebacks, and Google's client tries for two
minutes to reach a service that does not answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping

from beam_recap.flag import ConfigError
from beam_recap.isolation import describe_error

_LOG = logging.getLogger("beam_recap.run")
_SCHEME = "gs://"
_KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
# Tells the processes that this one starts that there is no account, so that they do not look for one either.
_NO_ACCOUNT = "BEAM_RECAP_NO_GOOGLE_ACCOUNT"
_REMEDY = f"run gcloud auth application-default login, or set {_KEY_FILE} to the path of a key"
_ANSWER_SECONDS = 10.0  # a listing of one name takes tens of milliseconds
_PATIENCE_SECONDS = 10.0  # until the last of several attempts, so that one 503 refuses nothing
_GLOB = re.compile(r"[*?[]")
_REQUEST = re.compile(r"\b[A-Z]{3,6} https?://\S+: ")  # Google's client tells its whole URL, which helps nobody


def set_up() -> None:
    """Settings of Google's client, for every process that touches files; asks nobody anything."""
    # For traces that nobody reads, each new client asks for the bucket too, beside every request of Beam's.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    if os.environ.get(_NO_ACCOUNT) == _key_file():
        _go_without_account()


def check_access(given: Mapping[str, str], writes: Collection[str] = ("output",)) -> None:
    """Looks for an account and at each bucket that flags name; without ``gs://`` among them it does nothing.

    Without an account a run goes on as anybody may, which is enough to read public buckets, or an emulator's.

    Args:
      given: the texts of the flags that were given, by name; several paths are separated by commas.
      writes: the flags whose paths are written.

    Raises:
      ConfigError: a path is to be written and there is no account, or the account cannot be used, or a bucket does
        not exist, may not be listed or does not answer.
    """
    paths = [
        (flag, path)
        for flag, text in given.items()
        for path in map(str.strip, text.split(","))
        if path.startswith(_SCHEME)
    ]
    if not paths:
        return
    if _has_account(*paths[0]):
        os.environ.pop(_NO_ACCOUNT, None)
    else:
        if "STORAGE_EMULATOR_HOST" not in os.environ:
            written = [(flag, path) for flag, path in paths if flag in writes]
            if written:
                problem = f"needs a Google account that may write there, and none is set up; {_REMEDY}"
                raise ConfigError(*written[0], problem)
            _LOG.info("No Google account is set up, so gs:// is read as anybody may. To use one, %s.", _REMEDY)
        os.environ[_NO_ACCOUNT] = _key_file()
        _go_without_account()
    places = {}
    for flag, path in paths:
        # Of a pattern, and of a folder that is written, names are listed; of a plain path they need not be.
        is_listed = flag in writes or bool(_GLOB.search(path))
        places.setdefault((path.split("/")[2], is_listed), (flag, path))
    for (_, is_listed), (flag, path) in places.items():
        _check_bucket(flag, path, is_listed=is_listed)


def _key_file() -> str:
    return os.environ.get(_KEY_FILE, "")


def _has_account(flag: str, path: str) -> bool:
    """Whether this process finds an account, asked once. Raises `ConfigError` for one that cannot be read."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

    try:
        with _quiet("google.auth"):
            google.auth.default()
    except GoogleAuthError as error:
        if isinstance(error, DefaultCredentialsError) and not _key_file():
            return False
        problem = f"the Google account that is set up cannot be used ({describe_error(error)}); {_REMEDY}"
        raise ConfigError(flag, path, problem) from error
    return True


def _go_without_account() -> None:
    # Where Beam keeps what it has found; it has no switch of its own for this.
    from apache_beam.internal.gcp.auth import _Credentials

    _Credentials._credentials = None
    _Credentials._credentials_init = True


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check_bucket(flag: str, path: str, *, is_listed: bool) -> None:
    """Asks for one name beneath a path."""
    from apache_beam.io.gcp.gcsio import create_storage_client
    from apache_beam.options.pipeline_options import PipelineOptions
    from google.api_core.exceptions import Forbidden, NotFound, RetryError, Unauthorized
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, _, name = path.removeprefix(_SCHEME).partition("/")
    if not bucket:
        raise ConfigError(flag, path, "names no bucket; write gs://BUCKET/FOLDER")
    folder = _GLOB.split(name)[0].rpartition("/")[0]
    try:
        client = create_storage_client(PipelineOptions())
        retry = DEFAULT_RETRY.with_timeout(_PATIENCE_SECONDS)
        list(client.list_blobs(bucket, prefix=folder, max_results=1, timeout=_ANSWER_SECONDS, retry=retry))
    except NotFound as error:
        raise ConfigError(flag, path, f"the bucket {bucket} does not exist; correct its name, or make it") from error
    except (Forbidden, Unauthorized) as error:
        if is_listed:
            remedy = "give an account that has it, or another path"
            raise ConfigError(flag, path, f"no permission to list it ({_said(error)}); {remedy}") from error
    except (RetryError, TransportError) as error:
        cause = getattr(error, "cause", None) or error
        problem = f"Google Cloud Storage does not answer ({_said(cause)}); start again when it can be reached"
        raise ConfigError(flag, path, problem) from error
    except GoogleAuthError as error:
        problem = f"the Google account that is set up cannot be used ({describe_error(error)}); {_REMEDY}"
        raise ConfigError(flag, path, problem) from error
    except Exception as error:  # whatever Google's client thinks of the path
        raise ConfigError(flag, path, f"cannot be read ({_said(error)}); give another path") from error


def _said(error: BaseException) -> str:
    """What the service said, or why it could not be asked."""
    refused = next(iter(error.args), None)
    return _REQUEST.sub("", describe_error(getattr(refused, "reason", None) or error))
