"""XML as a small tree whose nodes know their line, so that a refusal can name it.

Entities, document types and external references are refused (defusedxml); depth and size are bounded. Never use
another XML parser in this package.
"""

import io
from typing import Any
from xml.sax import SAXException, handler

from defusedxml import DefusedXmlException
from defusedxml.expatreader import create_parser

from scoring.ingest.limits import DEPTH_MAX, NODES_MAX
from scoring.ingest.statement import ErrorCode, UnreadableFile


class Node:
    """One element: local name without namespace, own text, attributes, children, first line (1-based)."""

    __slots__ = ("attributes", "children", "line", "tag", "text")

    def __init__(self, tag: str, line: int, attributes: dict[str, str] | None = None) -> None:
        self.tag = tag
        self.line = line
        self.attributes = attributes or {}
        self.children: list[Node] = []
        self.text = ""

    def find(self, path: str) -> "Node | None":
        """The first node at `path` ("A/B/C"), trying each branch, or None."""
        tag, _, rest = path.partition("/")
        for child in self.children:
            if child.tag == tag:
                found = child.find(rest) if rest else child
                if found is not None:
                    return found
        return None

    def find_all(self, tag: str) -> "list[Node]":
        """All children of that name."""
        return [child for child in self.children if child.tag == tag]

    def value(self, *paths: str) -> str:
        """The text at the first of `paths` that has any, else an empty string."""
        for path in paths:
            node = self.find(path)
            if node is not None and node.text.strip():
                return node.text.strip()
        return ""

    def descendants(self, *tags: str) -> "list[Node]":
        """All nodes below with one of these names, in document order."""
        found: list[Node] = []
        stack = list(reversed(self.children))
        while stack:
            node = stack.pop()
            if node.tag in tags:
                found.append(node)
            stack.extend(reversed(node.children))
        return found


class _Builder(handler.ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", 0)
        self._open: list[tuple[Node, list[str]]] = [(self.root, [])]
        self._count = 0
        self._locator: Any = None

    def setDocumentLocator(self, locator: Any) -> None:  # noqa: N802  (SAX names it)
        self._locator = locator

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802
        self._count += 1
        line = int(self._locator.getLineNumber())
        if self._count > NODES_MAX or len(self._open) > DEPTH_MAX:
            raise UnreadableFile(ErrorCode.TOO_LARGE, "the XML is nested too deep or has too many elements", line=line)
        node = Node(name.rpartition(":")[2], line, {key.rpartition(":")[2]: value for key, value in attrs.items()})
        self._open[-1][0].children.append(node)
        self._open.append((node, []))

    def endElement(self, name: str) -> None:  # noqa: N802
        node, parts = self._open.pop()
        node.text = "".join(parts)

    def characters(self, content: str) -> None:
        self._open[-1][1].append(content)


def parse_xml(data: bytes) -> Node:
    """The document's root element. Raises UnreadableFile: `broken_file`, `forbidden_xml`, `too_large`."""
    builder = _Builder()
    parser = create_parser(forbid_dtd=True, forbid_entities=True, forbid_external=True)
    parser.setContentHandler(builder)
    try:
        parser.parse(io.BytesIO(data))
    except DefusedXmlException as error:
        raise UnreadableFile(ErrorCode.FORBIDDEN_XML, "the XML declares entities or a document type") from error
    except SAXException as error:
        line = getattr(error, "getLineNumber", lambda: None)()
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "the XML is not well-formed", line=line) from error
    except (ValueError, LookupError, UnicodeError) as error:
        raise UnreadableFile(ErrorCode.BAD_ENCODING, "the XML's encoding cannot be read") from error
    if not builder.root.children:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "the XML holds no element")
    return builder.root.children[0]
