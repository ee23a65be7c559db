"""Results as JSON, and the schemas of what that gives, both from the classes of the results.

What I-JSON (RFC 7493) asks for holds, so that any reader takes it: numbers are finite, null stands for those that are
not; texts are whole characters, the bytes of file names that are not UTF-8 are written as text, ``\\udc80`` to
``\\udcff``, as d2sfm prints them. A class of which not all is for programs names in ``IN_JSON`` what is, with types.
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from inspect import cleandoc
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def json_text(value: Any) -> str:
    """A value as JSON in one line of ASCII. TypeError where it holds what JSON has nothing for."""
    # DEL is the one character left that steers a terminal.
    return json.dumps(_plain(value), allow_nan=False).replace("\x7f", "\\u007f")


def schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what ``json_text`` makes of values of an annotation."""
    named, origin, arguments = members(kind), get_origin(kind) or kind, get_args(kind)
    if named is not None:
        described = {"title": kind.__name__, "description": cleandoc(kind.__doc__).split("\n\n")[0].replace("\n", " ")}
        properties = {name: schema(each) for name, each in named.items()}
        return described | {"type": "object", "properties": properties, "required": list(named)}
    if origin in (Union, UnionType):
        return {"anyOf": [schema(each) for each in arguments]}
    if issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema((arguments or _mapped(kind))[-1])}
    if origin is tuple and Ellipsis not in arguments:
        places = [schema(each) for each in arguments]
        return {"type": "array", "prefixItems": places, "minItems": len(places), "maxItems": len(places)}
    if issubclass(origin, Collection) and not issubclass(origin, str):
        return {"type": "array", "items": schema(arguments[0])}
    return _schema_of_one(origin)


def _schema_of_one(kind: type) -> dict[str, Any]:
    if issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    names = {bool: "boolean", int: "integer", float: ["number", "null"], str: "string", NoneType: "null"}
    return {"type": names[str if issubclass(kind, Path) else kind]}


def _plain(value: Any) -> Any:
    """The value made of what the json module writes."""
    named = members(type(value))
    if named is not None:
        return {name: _plain(getattr(value, name)) for name in named}
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, bool | None):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str | Path):
        return _HALF_CHARACTER.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value))
    if isinstance(value, Collection) or hasattr(value, "tolist"):  # an array
        return [_plain(each) for each in value]
    raise TypeError(f"no JSON for {type(value).__name__}")


def members(kind: Any) -> dict[str, Any] | None:
    """Names and annotations of the members of a class in its JSON; None for a class without members."""
    if not isinstance(kind, type) or get_args(kind):
        return None
    if hasattr(kind, "IN_JSON"):
        return kind.IN_JSON
    if hasattr(kind, "_fields"):
        return {name: kind.__annotations__[name] for name in kind._fields}  # of a named tuple
    return {field.name: field.type for field in fields(kind)} if is_dataclass(kind) else None


def _mapped(kind: type) -> tuple[Any, ...]:
    """The types of keys and values that a class of mappings is made for."""
    return next(get_args(base) for base in kind.__orig_bases__ if get_args(base))
