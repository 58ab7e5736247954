"""Values of msgspec structs, from their declared types: any (hypothesis), or always the same (golden bytes)."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DATA = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def any_of(declared: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    """Any value of a declared type."""
    match declared:
        case msgspec.inspect.IntType():
            return INTEGERS
        case msgspec.inspect.FloatType():
            return FLOATS
        case msgspec.inspect.StrType():
            return TEXT
        case msgspec.inspect.BytesType():
            return st.binary(max_size=40)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.AnyType():
            return DATA
        case msgspec.inspect.LiteralType(values):
            return st.sampled_from(values)
        case msgspec.inspect.ListType(item):
            return st.lists(any_of(item), max_size=4)
        case msgspec.inspect.DictType(key, value):
            return st.dictionaries(any_of(key), any_of(value), max_size=4)
        case msgspec.inspect.UnionType(types):
            return st.one_of([any_of(kind) for kind in types])
        case msgspec.inspect.StructType(cls):
            return structs(cls)
        case msgspec.inspect.CustomType(cls):
            return TEXT.map(cls)
        case _:
            raise NotImplementedError(declared)


def structs(cls: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any instance of a struct; fields with a default are sometimes left out."""
    declared = msgspec.inspect.type_info(cls)
    assert isinstance(declared, msgspec.inspect.StructType)
    required = {field.name: any_of(field.type) for field in declared.fields if field.required}
    optional = {field.name: any_of(field.type) for field in declared.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: cls(**fields))


def fixed(declared: msgspec.inspect.Type) -> Any:
    """Always the same value of a declared type, and never its default."""
    match declared:
        case msgspec.inspect.IntType():
            return 7
        case msgspec.inspect.FloatType():
            return 1.5
        case msgspec.inspect.StrType():
            return "ä text"
        case msgspec.inspect.BytesType():
            return b"\x00\xff"
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.AnyType():
            return {"k": [1, None, "v"]}
        case msgspec.inspect.LiteralType(values):
            return sorted(values)[-1]
        case msgspec.inspect.ListType(item):
            return [fixed(item)]
        case msgspec.inspect.DictType(key, value):
            return {fixed(key): fixed(value)}
        case msgspec.inspect.UnionType(types):
            return fixed(next(kind for kind in types if not isinstance(kind, msgspec.inspect.NoneType)))
        case msgspec.inspect.StructType(cls):
            return sample(cls)
        case msgspec.inspect.CustomType(cls):
            return cls("ä text")
        case _:
            raise NotImplementedError(declared)


def sample(cls: type[msgspec.Struct], required_only: bool = False) -> Any:
    """Always the same instance of a struct, with all its fields or only those that it must have."""
    declared = msgspec.inspect.type_info(cls)
    assert isinstance(declared, msgspec.inspect.StructType)
    return cls(**{field.name: fixed(field.type) for field in declared.fields if field.required or not required_only})
