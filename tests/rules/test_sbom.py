"""The bill of materials says exactly what is pinned, the same on every machine, and names who needs what."""

import re
import subprocess
import tomllib
import uuid
from collections import Counter

from tests.rules import sbom, tree

TEXT = (tree.ROOT / "requirements" / "runtime.txt").read_text("utf-8")
PROJECT = tomllib.loads((tree.ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_every_pin_is_listed_with_the_hashes_of_its_files() -> None:
    """Counted in the file by other means: names, versions and hashes."""
    document = sbom.read_sbom()
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", TEXT, re.MULTILINE))
    assert len(pins) > 20
    assert {one["name"]: one["version"] for one in document["components"]} == pins
    listed = [one["value"] for part in document["components"] for one in part["properties"] if "sha256" in one["name"]]
    assert Counter(listed) == Counter(re.findall(r"sha256:([0-9a-f]{64})", TEXT))


def test_what_the_project_asks_for_is_what_it_depends_on() -> None:
    """The root needs the distributions of pyproject.toml, and all others are needed by somebody."""
    document = sbom.read_sbom()
    edges = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    root = document["metadata"]["component"]["bom-ref"]
    wanted = sorted(re.split(r"[><=\[]", one)[0].lower() for one in PROJECT["dependencies"])
    assert sorted(one.split("/")[1].split("@")[0] for one in edges[root]) == wanted
    needed = {ref for refs in edges.values() for ref in refs}
    assert needed == edges.keys() - {root}, "nothing is listed that nobody needs, and nothing needed is missing"


def test_it_is_a_cyclonedx_document() -> None:
    """The fields that readers of the format ask for; names unique; licence and serial number well-formed."""
    document = sbom.read_sbom()
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert uuid.UUID(document["serialNumber"].removeprefix("urn:uuid:")).version == 5
    refs = [one["bom-ref"] for one in document["components"]]
    assert len(set(refs)) == len(refs)
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9.-]+@[^@]+", one["purl"]) for one in document["components"])
    assert document["metadata"]["component"]["licenses"] == [{"license": {"id": "MIT"}}]


def test_markers_and_several_wants_are_read() -> None:
    """A small file by hand: a marker, two that want it, and a name with an underscore."""
    text = (
        "one-thing==1.0 ; python_version < '3.12' \\\n    --hash=sha256:"
        + "a" * 64
        + "\n    # via\n    #   two_things\n"
        "    #   liushui (pyproject.toml)\ntwo_things==2.0 \\\n    --hash=sha256:" + "b" * 64 + "\n    # via liushui\n"
    )
    first, second = sbom.read_pins(text)
    assert (first.marker, first.wanted_by, first.hashes) == (
        "python_version < '3.12'",
        ("two_things", "liushui"),
        ("a" * 64,),
    )
    assert (second.purl, second.marker) == ("pkg:pypi/two-things@2.0", "")
    made = sbom.make_sbom([first, second], PROJECT)
    assert made["components"][0]["properties"][0] == {"name": "liushui:marker", "value": "python_version < '3.12'"}


def test_dev_prints_it() -> None:
    """`./dev help` names the command."""
    shown = subprocess.run([tree.ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"^ +sbom ", shown, re.MULTILINE)
