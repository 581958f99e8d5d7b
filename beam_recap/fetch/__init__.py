"""Fetching pictures from the open web: bounded in time and bytes, and never from a private address."""

from beam_recap.fetch.addresses import is_public_address
from beam_recap.fetch.fetcher import Fetcher
from beam_recap.fetch.settings import FetchResult, FetchSettings
from beam_recap.fetch.window import FetchWindow

__all__ = ["FetchResult", "FetchSettings", "FetchWindow", "Fetcher", "is_public_address"]
