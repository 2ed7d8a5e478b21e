"""The machine and the installation: libraries, scoring engine, versions, clock, open files, disk. No node is needed."""

import os
import platform
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from statistics import median
from typing import Final

from node.checkup.finding import Finding, failed, warn, well

FREE_BYTES_MIN: Final = 1_073_741_824
FREE_BYTES_WARN: Final = 5 * FREE_BYTES_MIN
YEAR_2024_S: Final = 1_704_067_200
PYTHON_MIN: Final = (3, 11)
FILES_MIN: Final = 1_024
"""Peers, clients, databases: a node with few clients has a hundred open."""
FILES_WARN: Final = 4_096
SYNC_TRIES: Final = 16
SYNC_WARN_S: Final = 0.02
SYNC_FAIL_S: Final = 0.25
"""A vote must be on disk before it is sent, and a step of consensus waits for a quarter of a second at first."""


def check_machine() -> list[Finding]:
    """Everything about the machine that needs no data directory."""
    return [check_versions(), check_libraries(), check_scoring(), check_clock(), check_files()]


def check_versions() -> Finding:
    """Whether Python and every library that the distribution asks for are there."""
    python = platform.python_version()
    if sys.version_info < PYTHON_MIN:
        return failed("python_old", "versions", f"Python {python} is too old.", "Install Python 3.11 or newer.")
    try:
        own, needed = version("liushui"), requires("liushui") or []
    except PackageNotFoundError:
        return warn("not_installed", "versions", "liushui runs from a tree that is not installed.", "Install it.")
    missing = []
    for requirement in needed:
        if "extra ==" not in requirement:
            name = requirement.split(";")[0].split(">")[0].split("=")[0].split("<")[0].split("[")[0].strip()
            try:
                version(name)
            except PackageNotFoundError:
                missing.append(name)
    if missing:
        told = ", ".join(missing)
        return failed("library_missing", "versions", f"{told} missing.", "Install the pinned requirements again.")
    return well("versions", f"liushui {own}, Python {python}.")


def check_libraries() -> Finding:
    """Whether libsodium signs and verifies."""
    try:
        from protocol.crypto import KeySigner, check_signature

        signer = KeySigner(bytes(32))
        works = check_signature(signer.public_key, b"doctor", signer.sign(b"doctor"))
    except ImportError as error:
        return failed("library_missing", "libraries", f"{error.name} is missing.", "Install the requirements again.")
    if not works:
        return failed("crypto_broken", "libraries", "libsodium does not verify.", "Install the requirements again.")
    return well("libraries", "libsodium signs and verifies.")


def check_scoring() -> Finding:
    """Whether this machine gives the golden scores."""
    from scoring.selftest import run_selftest

    try:
        run_selftest()
    except AssertionError as error:
        sentence = f"{error}: this installation must not attest."
        return failed("scoring_differs", "scoring", sentence, "Install it again.")
    return well("scoring", "the engine gives the golden scores.")


def check_clock(now_s: float | None = None) -> Finding:
    """Whether the clock can be right at all; how far it is off is measured at peers."""
    at_s = time.time() if now_s is None else now_s
    if at_s < YEAR_2024_S:
        return failed("clock_unset", "clock", "the clock stands before 2024.", "Set it, for example with NTP.")
    return well("clock", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s)))


def check_files() -> Finding:
    """How many files and connections a process started from here may have open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in (resource.RLIM_INFINITY, -1):
        return well("open files", "as many as it wants.")
    fix = f"Raise the limit to 65536 (LimitNOFILE of the service, or ulimit -n; here at most {hard})."
    if soft < FILES_MIN:
        return failed("files_few", "open files", f"only {soft} files may be open at once.", fix)
    if soft < FILES_WARN:
        return warn("files_few", "open files", f"{soft} files may be open at once, enough for few clients.", fix)
    return well("open files", f"{soft} may be open at once.")


def check_disk(place: Path) -> list[Finding]:
    """Room, and whether the directory can be written."""
    if not os.access(place, os.W_OK):
        return [failed("directory_unwritable", "disk", f"{place} cannot be written.", "Fix its owner or permissions.")]
    usage = shutil.disk_usage(place)
    told = f"{usage.free // 2**20} MiB of {usage.total // 2**20} MiB are free."
    if usage.free < FREE_BYTES_MIN:
        return [failed("disk_low", "disk", told, "Make room for at least 1 GiB.")]
    if usage.free < FREE_BYTES_WARN:
        return [warn("disk_low", "disk", told, "Make room for 5 GiB before it is needed.")]
    return [well("disk", told)]


def check_sync_time(place: Path) -> Finding:
    """How long the disk takes to make a vote durable: the median of a few writes of a record's size."""
    path = place / f".doctor-{os.getpid()}"
    times: list[float] = []
    try:
        with path.open("wb") as file:
            for _ in range(SYNC_TRIES):
                file.write(bytes(512))
                file.flush()
                began_s = time.monotonic()
                os.fdatasync(file.fileno())
                times.append(time.monotonic() - began_s)
    except OSError as error:
        return failed("disk_unwritable", "disk speed", f"{place}: {error.strerror}.", "Free or repair the disk.")
    finally:
        path.unlink(missing_ok=True)
    return judge_sync_time(median(times))


def judge_sync_time(taken_s: float) -> Finding:
    """What a time of making a record durable means for a validator."""
    told = f"a vote is durable after {taken_s * 1000:.1f} ms."
    fix = "Use a local SSD with power-loss protection, shared with no busy program."
    if taken_s >= SYNC_FAIL_S:
        return failed("disk_slow", "disk speed", told, fix)
    if taken_s >= SYNC_WARN_S:
        return warn("disk_slow", "disk speed", told, fix)
    return well("disk speed", told)
