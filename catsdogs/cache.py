"""List the cache and remove what is no longer needed.

python -m catsdogs.cache remove=30
"""

import time
from typing import Annotated, Literal

from omegaconf import DictConfig
from pydantic import Field

from catsdogs.cli import Result, command, plain
from catsdogs.io.cache import Entry, list_cache
from catsdogs.io.files import cache_directory
from catsdogs.io.formatting import count, size
from catsdogs.io.text import one_line
from catsdogs.settings import Section, must_be

UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))
Days = Annotated[
    Literal["all"] | Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
    must_be("null, all, or a number of days from 0"),
]


class CacheSettings(Section):
    """Settings of `cache`."""

    remove: Days
    debug: bool


@command("cache")
def main(config: DictConfig) -> Result:
    """Print what is in the cache, and remove what was asked for."""
    settings = CacheSettings.from_config(plain(config))
    cache = cache_directory()
    entries = list_cache(cache)
    for entry in entries:
        print(_line(entry))
    print(f"{cache}: {_total(entries)}")
    if settings.remove is None:
        return Result()
    seconds = 0.0 if settings.remove == "all" else settings.remove * UNITS[0][1]
    old = [entry for entry in entries if _age(entry) >= seconds]
    removed = [entry for entry in old if entry.remove()]
    print(f"removed: {_total(removed)}")
    kept = [entry for entry in old if entry not in removed]
    if kept:
        print(f"in use, and so kept: {_total(kept)}")
    return Result()


def _age(entry: Entry) -> float:
    return max(0.0, time.time() - entry.last_use)


def _line(entry: Entry) -> str:
    name = f"{entry.kind}/{entry.path.name}"
    used = "in use" if entry.in_use else f"used {_ago(_age(entry))}"
    return one_line(f"{size(entry.nbytes):>9}  {used:<19}  {name:<27}  {entry.origin}")


def _ago(seconds: float) -> str:
    for unit, length in UNITS:
        if seconds >= length:
            return f"{count(int(seconds // length), unit)} ago"
    return "just now"


def _total(entries: list[Entry]) -> str:
    number = "1 entry" if len(entries) == 1 else f"{len(entries):,} entries"
    return f"{number}, {size(sum(entry.nbytes for entry in entries))}"


if __name__ == "__main__":
    main()
