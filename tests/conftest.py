"""What every test is given: logging as it was before. A node that a test runs in its own process sets it up anew."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """No handler and no renderer of one test is there in the next, whose captured lines would hold others' words."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
    logging.root.handlers[:], logging.root.level = handlers, level
