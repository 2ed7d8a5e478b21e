"""The house rules that neither ruff nor mypy knows, as pure functions from a source text to findings.

Read by the tests beside it. Never put a path, a file access or an exemption for one file in here: a rule that needs
an exemption is a wrong rule.
"""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Final

Finding = tuple[int, str]
"""Line (from 1) and what is wrong there."""
Rule = Callable[[ast.Module], list[Finding]]

FUNCTION_LINES_MAX: Final = 70
FILE_LINES_MAX: Final = 500

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_EXACT_MATH: Final = frozenset({"isqrt", "gcd", "lcm", "comb", "perm", "prod", "factorial"})


def find_inexact_numbers(tree: ast.Module) -> list[Finding]:
    """Float and complex literals, `/`, the name `float`, and the part of `math` that computes in floats."""
    found: list[Finding] = []
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex()):
                found.append((node.lineno, f"float literal {node.value!r}"))
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                found.append((node.lineno, "true division"))
            case ast.Name(id="float" | "complex"):
                found.append((node.lineno, f"the name {node.id}"))
            case ast.ImportFrom(module="math", names=names):
                found += [(node.lineno, f"math.{each.name}") for each in names if each.name not in _EXACT_MATH]
            case ast.Attribute(value=ast.Name(id="math"), attr=attr) if attr not in _EXACT_MATH:
                found.append((node.lineno, f"math.{attr}"))
            case _:
                pass
    return found


def find_async(tree: ast.Module) -> list[Finding]:
    """Coroutines: below `node` everything is a plain function."""
    return [
        (node.lineno, f"async def {node.name}") for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)
    ]


def find_long_functions(tree: ast.Module) -> list[Finding]:
    """Functions of more than FUNCTION_LINES_MAX lines, decorators and docstring included."""
    found: list[Finding] = []
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            lines = (node.end_lineno or node.lineno) - first + 1
            if lines > FUNCTION_LINES_MAX:
                found.append((node.lineno, f"{node.name} has {lines} lines"))
    return found


def find_missing_docstring(tree: ast.Module) -> list[Finding]:
    """A file whose first statement does not say what it is for."""
    return [] if (ast.get_docstring(tree) or "").strip() else [(1, "no docstring")]


def find_code_in_init(tree: ast.Module) -> list[Finding]:
    """Anything but a docstring; for `__init__.py` only."""
    return [(node.lineno, "code in __init__.py") for node in tree.body[1:]]


def find_unordered(tree: ast.Module) -> list[Finding]:
    """Places where the order of a set, or `hash()`, could reach a result.

    A heuristic: it knows set displays and calls, the operators and methods that return sets, and names, parameters
    and attributes that this file binds or annotates as sets. What asks only for membership, size or an extreme is
    free; `sorted(...)` is the cure.
    """
    attributes = {
        each.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and _is_set_annotation(each.annotation)
    }
    found: set[Finding] = set()
    for scope in ast.walk(tree):
        if isinstance(scope, ast.Module | _Function):
            found.update(_Sets(scope, attributes).find())
    return sorted(found)


_SET_METHODS: Final = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_ORDER_TAKERS: Final = frozenset({"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "reversed", "next"})
_SET_TYPES: Final = frozenset({"set", "frozenset", "Set", "AbstractSet", "MutableSet"})


def _is_set_annotation(node: ast.expr | None) -> bool:
    match node:
        case ast.Name(id=name):
            return name in _SET_TYPES
        case ast.Attribute(attr=name):
            return name in _SET_TYPES
        case ast.Subscript(value=value):
            return _is_set_annotation(value)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _is_set_annotation(left) or _is_set_annotation(right)
        case _:
            return False


class _Sets:
    """What is known to be a set within one function (or the module's top level)."""

    def __init__(self, scope: ast.Module | _Function, attributes: set[str]) -> None:
        self.attributes = attributes
        self.names: set[str] = set()
        self.nodes = list(_walk_scope(scope))
        if isinstance(scope, _Function):
            every = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
            self.names |= {each.arg for each in every if _is_set_annotation(each.annotation)}
        for node in self.nodes:
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if _is_set_annotation(annotation):
                    self.names.add(name)
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if self.is_set(value):
                    self.names.add(name)
                case _:
                    pass

    def is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
                return True
            case ast.Name(id=name):
                return name in self.names
            case ast.Attribute(attr=name):
                return name in self.attributes
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
                return self.is_set(left) or self.is_set(right)
            case ast.Call(func=ast.Attribute(value=value, attr=method)):
                return method in _SET_METHODS and self.is_set(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_set(body) or self.is_set(orelse)
            case _:
                return False

    def find(self) -> Iterator[Finding]:
        for node in self.nodes:
            match node:
                case ast.For(iter=source) if self.is_set(source):
                    yield node.lineno, "a loop over a set"
                case ast.ListComp() | ast.DictComp() | ast.GeneratorExp() if self._over_set(node):
                    yield node.lineno, "a comprehension over a set"
                case ast.Starred(value=value) if self.is_set(value):
                    yield node.lineno, "a set unpacked"
                case ast.Call(func=ast.Name(id="hash")):
                    yield node.lineno, "hash() differs from run to run"
                case ast.Call(func=ast.Name(id=name), args=args) if name in _ORDER_TAKERS and any(
                    map(self.is_set, args)
                ):
                    yield node.lineno, f"{name}() of a set"
                case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=[value]) if self.is_set(value):
                    yield node.lineno, "a set joined in its own order"
                case ast.Call(func=ast.Attribute(value=value, attr="pop"), args=[]) if self.is_set(value):
                    yield node.lineno, "any one element popped from a set"
                case _:
                    pass

    def _over_set(self, node: ast.ListComp | ast.DictComp | ast.GeneratorExp) -> bool:
        return id(node) not in self._harmless() and any(self.is_set(each.iter) for each in node.generators)

    def _harmless(self) -> set[int]:
        """Generators whose consumer does not care for order."""
        return {
            id(each)
            for node in self.nodes
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"sorted", "sum", "min", "max", "any", "all", "len", "set", "frozenset"}
            for each in node.args
        }


def _walk_scope(scope: ast.Module | _Function) -> Iterator[ast.AST]:
    """The nodes of a scope in source order, without those of functions inside it (they are scopes of their own)."""
    pending: list[ast.AST] = list(reversed(scope.body))
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, _Function):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


_UNFINISHED: Final = re.compile(r"\b(?:[T]ODO|[F]IXME)\b|(?:#|//|--|;)\s*[X]XX\b")
_MACHINE_PATH: Final = re.compile(r"(?<![\w.$}])/(?:root|home|work|Users)/\w")
_INDEX_ADDRESS: Final = re.compile(r"index[-_]url|find[-_]links|trusted[-_]host|https?://\S+/simple\b", re.IGNORECASE)


def find_in_text(text: str) -> list[Finding]:
    """Marks of unfinished work, paths of one machine, addresses of package indexes; for every text file."""
    found: list[Finding] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in (
            ("unfinished work", _UNFINISHED),
            ("a path of one machine", _MACHINE_PATH),
            ("an index address", _INDEX_ADDRESS),
        ):
            match = pattern.search(line)
            if match:
                found.append((number, f"{what}: {match.group()}"))
    return found
