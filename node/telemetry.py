"""Structured logs: events are names in the past tense plus fields. Never log a key, a passphrase or a statement's row.

What stands under the name of a secret is blacked out all the same (`node.redaction`), at any depth.

No info line per gossip message: one line costs about ten microseconds, and a finality round has dozens of messages.
"""

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog

from node.redaction import BLACKED_OUT, is_secret, redact, redact_text

LEVELS = ("debug", "info", "warning", "error")


def _redact(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for field, value in event.items():
        if is_secret(field):
            event[field] = BLACKED_OUT
        elif isinstance(value, dict | list | tuple):
            event[field] = redact(value)
    return event


class _Library(logging.Handler):
    """What libraries and the event loop say, as lines of the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        told = redact_text(record.getMessage())
        log = get_logger(record.name)
        error = record.exc_info if isinstance(record.exc_info, tuple) else None
        if record.levelno >= logging.ERROR:
            log.error("library_spoke", said=told, exc_info=error)
        else:
            log.warning("library_spoke", said=told, exc_info=error)


def _shorten(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for field, value in event.items():
        if isinstance(value, bytes):
            event[field] = value.hex()[:16]
    return event


class _Stderr:
    """Standard error, whatever becomes of it: a log that cannot be written (a full disk) must not end the node."""

    def write(self, text: str) -> None:
        # Past every buffer: what is left in one cannot be written at the exit either, and would spoil the exit code.
        raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
        with contextlib.suppress(OSError):
            if raw is None:
                sys.stderr.write(text)
            else:
                raw.write(text.encode(errors="replace"))

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def configure_logging(*, json: bool, level: str) -> None:
    """Write logs to standard error: JSON lines for machines, or aligned text for people."""
    assert level in LEVELS, level
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True, ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redact,
            _shorten,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _Stderr())),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Library()], level=logging.WARNING, force=True)


def get_logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one room of the node (gossip, driver, executor, ...)."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(room=room))
