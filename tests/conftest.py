"""What every test is given: English, and logging as it was before: a node in a test's own process sets it up anew."""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog

for _name in ("LC_ALL", "LC_MESSAGES", "LANGUAGE"):
    os.environ.pop(_name, None)
os.environ["LANG"] = "C.UTF-8"  # whatever the developer speaks; processes inherit it


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """No handler and no renderer of one test is there in the next, whose captured lines would hold others' words."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = handlers, level
