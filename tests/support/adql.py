"""A small ADQL engine over astropy tables, so that a wrong query gives a wrong answer.

Knows ``SELECT [TOP n] columns|*|COUNT(*) FROM schema.table [AS alias] [LEFT OUTER JOIN table USING (column)]
[WHERE ...] [ORDER BY column]`` and quoted names
with comparisons, BETWEEN, IN, IS NULL, AND, OR, NOT, arithmetic, POINT, CIRCLE, POLYGON, CONTAINS,
INTERSECTS of a point, DISTANCE and a few numeric functions. Anything else is a `QueryError`, never a
guess. Comparisons with NULL are unknown; unknown rows are left out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table

Value = Any  # number, string, masked array, or a geometry below

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<string>'(?:[^']|'')*')|(?P<quoted>\x22[^\x22]+\x22)|(?P<sign><>|!=|<=|>=|[-+*/(),.<>=]))"
)
COMPARE: dict[str, Callable[[Value, Value], Value]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
ARITHMETIC: dict[str, Callable[[Value, Value], Value]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
NUMERIC: dict[str, Callable[[Value], Value]] = {
    "ABS": np.ma.abs,
    "SQRT": np.ma.sqrt,
    "COS": np.ma.cos,
    "SIN": np.ma.sin,
    "RADIANS": lambda a: a * (np.pi / 180),
}
RESERVED = {
    "SELECT",
    "TOP",
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "BETWEEN",
    "LEFT",
    "JOIN",
    "USING",
    "ORDER",
    "BY",
    "AS",
    "IS",
    "NULL",
}


class QueryError(Exception):
    """The query has a mistake, or asks for something this engine does not know."""


@dataclass(frozen=True)
class Point:
    ra: Value
    dec: Value

    def vector(self) -> np.ndarray:
        ra, dec = np.broadcast_arrays(np.radians(np.asarray(self.ra, float)), np.radians(self.dec))
        return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


@dataclass(frozen=True)
class Circle:
    centre: Point
    radius: float

    def contains(self, point: Point) -> np.ndarray:
        return separation(point, self.centre) <= self.radius


@dataclass(frozen=True)
class Polygon:
    corners: tuple[Point, ...]

    def contains(self, point: Point) -> np.ndarray:
        """Count the turns of the corners around each point, seen on its own tangent plane."""
        at = np.atleast_2d(point.vector())
        corners = [corner.vector() for corner in self.corners]
        middle = np.sum(corners, axis=0)
        turns = np.zeros(len(at))
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            triple = np.einsum("ij,ij->i", at, np.broadcast_to(np.cross(start, end), at.shape))
            along = np.dot(start, end) - (at @ start) * (at @ end)
            turns += np.arctan2(triple, along)
        return (np.abs(turns) > np.pi) & (at @ middle > 0)


def separation(first: Point, second: Point) -> np.ndarray:
    """Angle between points in degrees, good at all distances."""
    a, b = first.vector(), second.vector()
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(cross, np.sum(a * b, axis=-1)))


def execute(query: str, tables: dict[str, Table]) -> Table:
    """Run a query and return its rows; `QueryError` for anything wrong with it."""
    return _Query(query, tables).run()


class _Query:
    def __init__(self, text: str, tables: dict[str, Table]) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.tables = tables
        self.table = Table()
        self.alias = ""

    # -- tokens
    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def accept(self, *words: str) -> bool:
        if self.peek().upper() in words:
            self.at += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise QueryError(f"expected {word} at '{self.peek() or 'end of query'}'")

    # -- statement
    def run(self) -> Table:
        self.expect("SELECT")
        top = int(self.take()) if self.accept("TOP") else None
        start = self.at
        self._skip_to_from()
        self.table = self._joined(self._table_named())
        after_from = self.at
        self.at = start
        names, counting = self._selection()
        self.at = after_from
        rows = self._where()
        order = self._order()
        if self.at != len(self.tokens):
            raise QueryError(f"unexpected '{self.peek()}'")
        if counting:
            return Table({counting: [np.int64(np.count_nonzero(rows))]})
        answer = self.table[rows][names]
        if order:
            answer = self.table[rows][np.argsort(self.table[rows][order])][names]
        return answer if top is None else answer[:top]

    def _skip_to_from(self) -> None:
        while self.peek() and self.peek().upper() != "FROM":
            self.at += 1
        self.expect("FROM")

    def _table_named(self) -> Table:
        name = self.take()
        while self.accept("."):
            name += "." + self.take()
        name = name.strip('"')
        if name.lower() not in self.tables:
            raise QueryError(f"unknown table '{name}'")
        self.alias = name.split(".")[-1].lower()
        if self.accept("AS") or (self.peek() and self.peek().upper() not in RESERVED):
            self.alias = self.take().lower()
        return self.tables[name.lower()]

    def _joined(self, left: Table) -> Table:
        if not self.accept("LEFT"):
            return left
        self.accept("OUTER")
        self.expect("JOIN")
        alias, right = self.alias, self._table_named()
        self.alias = alias
        self.expect("USING")
        self.expect("(")
        key = self.take().lower()
        self.expect(")")
        if key not in left.colnames or key not in right.colnames:
            raise QueryError(f"unknown column '{key}'")
        rows = {value: row for row, value in enumerate(right[key].tolist())}
        found = np.array([rows.get(value, -1) for value in left[key].tolist()], dtype=int)
        joined = Table(left, masked=True, copy=False)
        for name in right.colnames:
            if name != key and len(right):
                joined[name] = np.ma.array(np.asarray(right[name])[found], mask=found < 0)
        return joined

    def _selection(self) -> tuple[list[str], str]:
        if self.accept("COUNT"):
            for sign in ("(", "*", ")"):
                self.expect(sign)
            name = self.take() if self.accept("AS") else "count_all"
            return [], name
        if self.accept("*"):
            return list(self.table.colnames), ""
        names = [self._column_name(self.take())]
        while self.accept(","):
            names.append(self._column_name(self.take()))
        self.expect("FROM")
        return names, ""

    def _column_name(self, word: str) -> str:
        if word.lower() == self.alias and self.accept("."):
            word = self.take()
        known = {name.lower(): name for name in self.table.colnames}
        if word.strip('"').lower() not in known:
            raise QueryError(f"unknown column '{word}'")
        return known[word.strip('"').lower()]

    def _where(self) -> np.ndarray:
        if not self.accept("WHERE"):
            return np.ones(len(self.table), bool)
        found = np.ma.filled(np.ma.asarray(self._or()), False)
        return np.broadcast_to(found, len(self.table)).astype(bool)

    def _order(self) -> str:
        if not self.accept("ORDER"):
            return ""
        self.expect("BY")
        name = self._column_name(self.take())
        self.accept("ASC")
        return name

    # -- conditions
    def _or(self) -> Value:
        value = self._and()
        while self.accept("OR"):
            value = np.ma.logical_or(value, self._and())
        return value

    def _and(self) -> Value:
        value = self._not()
        while self.accept("AND"):
            value = np.ma.logical_and(value, self._not())
        return value

    def _not(self) -> Value:
        if self.accept("NOT"):
            return np.ma.logical_not(self._not())
        return self._condition()

    def _condition(self) -> Value:
        left = self._sum()
        if self.accept("IS"):
            negated = self.accept("NOT")
            self.expect("NULL")
            return np.ma.getmaskarray(np.ma.asarray(left)) != negated
        negated = self.accept("NOT")
        if self.accept("BETWEEN"):
            low = self._sum()
            self.expect("AND")
            inside = np.ma.logical_and(left >= low, left <= self._sum())
            return np.ma.logical_not(inside) if negated else inside
        if self.peek() in COMPARE:
            return COMPARE[self.take()](left, self._sum())
        return left

    # -- expressions
    def _sum(self) -> Value:
        value = self._product()
        while self.peek() in ("+", "-"):
            value = ARITHMETIC[self.take()](value, self._product())
        return value

    def _product(self) -> Value:
        value = self._atom()
        while self.peek() in ("*", "/"):
            value = ARITHMETIC[self.take()](value, self._atom())
        return value

    def _atom(self) -> Value:
        if self.accept("-"):
            return -self._atom()
        if self.accept("("):
            value = self._or()
            self.expect(")")
            return value
        token = self.take()
        if not token or token.upper() in RESERVED:
            raise QueryError(f"expected a value at '{token or 'end of query'}'")
        if token[0].isdigit() or token[0] == ".":
            return int(token) if token.isdigit() else float(token)
        if token[0] == "'":
            return token[1:-1].replace("''", "'")
        if self.peek() == "(":
            return self._call(token.upper())
        return np.ma.masked_invalid(np.ma.asarray(self.table[self._column_name(token)]))

    def _call(self, name: str) -> Value:
        self.expect("(")
        values = [self._sum()]
        while self.accept(","):
            values.append(self._sum())
        self.expect(")")
        try:
            return _apply(name, values)
        except (IndexError, TypeError, AttributeError, ValueError):
            raise QueryError(f"wrong arguments for {name}") from None


def _tokens(text: str) -> list[str]:
    tokens, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise QueryError(f"cannot read the query at '{text[at : at + 20]}'")
        tokens.append(match.group().strip())
        at = match.end()
    return tokens


def _apply(name: str, values: list[Value]) -> Value:
    if name in NUMERIC and len(values) == 1:
        return NUMERIC[name](values[0])
    if isinstance(values[0], str):
        if values[0].upper() not in ("ICRS", ""):
            raise QueryError(f"unknown coordinate system '{values[0]}'")
        values = values[1:]
    if name == "POINT" and len(values) == 2:
        return Point(*values)
    if name == "CIRCLE" and len(values) in (2, 3):
        centre = values[0] if isinstance(values[0], Point) else Point(*values[:2])
        return Circle(centre, float(values[-1]))
    if name == "POLYGON":
        return _polygon(values)
    if name == "DISTANCE" and len(values) == 2:
        return separation(*values)
    if name in ("CONTAINS", "INTERSECTS") and len(values) == 2:
        return values[1].contains(values[0]).astype(int)
    raise QueryError(f"unknown function {name} of {len(values)} arguments")


def _polygon(values: list[Value]) -> Polygon:
    if isinstance(values[0], Point):
        corners = tuple(values)
    else:
        corners = tuple(Point(*pair) for pair in zip(values[::2], values[1::2], strict=True))
    if len(corners) < 3:
        raise QueryError("a polygon needs three corners")
    return Polygon(corners)
