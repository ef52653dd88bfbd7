"""Writes the types of a ledger's nouns, ledger/nouns.pyi, from the verbs: when Shoal is built or installed."""

from __future__ import annotations

import inspect
import keyword
import re
import sys
import types
import typing
from collections import defaultdict
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path(__file__).parent / "src"
STUB = SOURCE / "shoal" / "ledger" / "nouns.pyi"
HEAD = '''"""The verbs of each noun, as methods. Generated from the verbs' own declarations."""

import builtins
import collections.abc
import typing

from shoal.ledger.noun import Noun
{imports}
'''


class TypesOfNouns(BuildHookInterface[Any]):
    """Before anything is packed or installed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the file and pack it, although git does not keep it."""
        sys.path.insert(0, str(SOURCE))
        STUB.write_text(stub(), encoding="utf-8")
        build_data["artifacts"].append(f"/{STUB.relative_to(SOURCE.parent)}")


def stub() -> str:
    """The whole file."""
    from shoal.services import VERBS

    nouns = defaultdict(list)
    for verb in VERBS.values():
        nouns[verb.noun].append(method(verb))
    text = "".join(f"\nclass {noun.title()}(Noun):\n" + "\n".join(methods) for noun, methods in sorted(nouns.items()))
    # Names are imported one by one: a module that imports `shoal` itself would be a part of its own types.
    names = sorted(set(re.findall(r"\b(shoal(?:\.[a-z_]+)+)\.([A-Z]\w+)", text)))
    own = {noun.title() for noun in nouns}
    shown = {f"{module}.{name}": f"{name}Answer" if name in own else name for module, name in names}
    imports = "\n".join(f"from {module} import {name} as {shown[f'{module}.{name}']}" for module, name in names)
    return HEAD.format(imports=imports) + re.sub(r"\bshoal(?:\.[a-z_]+)+\.[A-Z]\w+", lambda one: shown[one[0]], text)


def method(verb: Any) -> str:
    """One verb as callers see it: the fields of its path may stand without their names, the others may not."""
    fields = {field.name: field for field in msgspec.structs.fields(verb.input)}
    parameters = ["self"] + [parameter(fields.pop(name)) for name in verb.path_fields if name in fields]
    if fields:
        parameters += ["*", *map(parameter, fields.values())]
    name = verb.name + "_" * keyword.iskeyword(verb.name)
    lines = inspect.cleandoc(verb.__doc__ or "").splitlines()
    said = "\n        ".join(lines) + ("\n        " if len(lines) > 1 else "")
    signature = ",\n        ".join(parameters)
    told = said.replace("\\", "\\\\").replace("        \n", "\n")
    return f'    def {name}(\n        {signature},\n    ) -> {written(verb.output)}:\n        """{told}"""\n'


def parameter(field: msgspec.structs.FieldInfo) -> str:
    """A name with the type that may be given, and whether it may be left out."""
    default = field.default if isinstance(field.default, (str, int, float, type(None))) else ...
    shown = "..." if default is ... or isinstance(default, Enum) else repr(default)
    return f"{field.name}: {written(field.type, given=True)}" + ("" if field.required else f" = {shown}")


def written(kind: Any, *, given: bool = False) -> str:
    """A type as source text. What is `given` may be plainer: a dict for a struct, text for an enum."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return written(arguments[0], given=given)
    if origin in (typing.Union, types.UnionType):
        kinds = [one for one in arguments if one is not msgspec.UnsetType]
        return " | ".join(dict.fromkeys(written(one, given=given) for one in kinds))
    if origin is typing.Literal:
        return f"typing.Literal[{', '.join(map(repr, arguments))}]"
    if kind is None or kind is type(None):
        return "None"
    if kind is Any:
        return "typing.Any"
    if origin is not None:
        inside = ", ".join(written(one, given=given) for one in arguments)
        if given and origin is list:
            return f"collections.abc.Sequence[{inside}]"
        return f"{written(origin)}[{inside}]"
    name = f"builtins.{kind.__name__}" if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if given and issubclass(kind, msgspec.Struct):
        return f"{name} | collections.abc.Mapping[builtins.str, typing.Any]"
    if given and issubclass(kind, Enum):
        return f"{name} | builtins.str"
    return name


if __name__ == "__main__":
    sys.path.insert(0, str(SOURCE))
    STUB.write_text(stub(), encoding="utf-8")
