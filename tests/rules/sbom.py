"""A bill of materials (CycloneDX 1.6, JSON) of what a node runs on, made from requirements/runtime.txt alone.

    ./dev sbom > liushui.cdx.json

The same pins give the same bytes, on every machine: no clock, no network, nothing of what happens to be installed.
"""

import json
import re
import sys
import tomllib
import uuid
from typing import Any, Final, NamedTuple

from tests.rules import tree

SPACE: Final = uuid.UUID("6f2b0f0e-6a53-5d0e-9d2c-0d7e4c1f9a11")
_PIN: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+))?"
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Pin(NamedTuple):
    """One pinned distribution."""

    name: str
    version: str
    marker: str
    """On which machines it is needed; empty for all."""
    hashes: tuple[str, ...]
    """SHA-256 of each file that may be installed."""
    wanted_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Its name among all packages of the world."""
        return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{self.version}"


def read_pins(text: str) -> list[Pin]:
    """The pins of a requirements file made by `uv pip compile --generate-hashes`."""
    pins: list[Pin] = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        found = _PIN.match(block)
        if found is None:
            continue
        comments = [line.strip().lstrip("# ") for line in block.splitlines() if line.strip().startswith("#")]
        wanted = [word.removeprefix("via ").split(" ")[0] for word in comments if word and word != "via"]
        pins.append(
            Pin(
                found["name"],
                found["version"],
                (found["marker"] or "").strip(),
                tuple(_HASH.findall(block)),
                tuple(wanted),
            )
        )
    return pins


def make_sbom(pins: list[Pin], project: dict[str, Any]) -> dict[str, Any]:
    """The document."""
    root = f"pkg:pypi/{project['name']}@{project['version']}"
    refs = {pin.name: pin.purl for pin in pins} | {project["name"]: root}
    depends: dict[str, list[str]] = {ref: [] for ref in (root, *(pin.purl for pin in pins))}
    for pin in pins:
        for name in pin.wanted_by:
            depends[refs[name]].append(pin.purl)
    content = {
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": root,
            }
        },
        "components": [_make_component(pin) for pin in pins],
        "dependencies": [{"ref": ref, "dependsOn": sorted(needed)} for ref, needed in sorted(depends.items())],
    }
    serial = uuid.uuid5(SPACE, json.dumps(content, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }


def _make_component(pin: Pin) -> dict[str, Any]:
    told = [{"name": "liushui:file-sha256", "value": one} for one in pin.hashes]
    if pin.marker:
        told.insert(0, {"name": "liushui:marker", "value": pin.marker})
    return {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "scope": "required",
        "properties": told,
    }


def read_sbom() -> dict[str, Any]:
    """Of this tree."""
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return make_sbom(read_pins((tree.ROOT / "requirements" / "runtime.txt").read_text("utf-8")), project)


if __name__ == "__main__":
    json.dump(read_sbom(), sys.stdout, indent=2)
    sys.stdout.write("\n")
