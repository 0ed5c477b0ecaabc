"""Prices of served models."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from preceptor.backends.base import FREE, Price
from preceptor.backends.openai.address import Address
from preceptor.core.errors import UsageError
from preceptor.core.validation import first_problem

_TABLE = TypeAdapter(dict[str, Price])


def price_of(address: Address, user_file: Path | None, listed: Price | None = None) -> Price | None:
    """The user's price of the model; otherwise OpenAI's list price, 0 on a private server, None elsewhere.

    A name with a date (`gpt-4o-2024-08-06`) that is in neither table has the price of the name without the date: OpenAI
    seldom prices the versions of a model differently. A version that costs more needs an entry of its own, as
    `gpt-4o-2024-05-13` has.

    Args:
        listed: the list price of a model of another provider; the user's takes precedence.

    Raises: UsageError when the user's file is missing or is not a table of prices.
    """
    names = (address.name, re.sub(r"-\d{4}-\d{2}-\d{2}$", "", address.name))
    tables: list[dict[str, Price]] = []
    if user_file is not None:
        if not user_file.is_file():  # reading a pipe would block, and a device has no end
            raise UsageError(f'"{user_file}" is not a table of prices: there is no such file')
        try:
            tables.append(_TABLE.validate_python(tomllib.loads(user_file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, RecursionError) as error:
            problem = first_problem(error) if isinstance(error, ValidationError) else str(error).replace("\n", " ")
            raise UsageError(
                f'"{user_file}" is not a table of prices (see backends/openai/prices.toml): {problem}'
            ) from None
    if address.hosted:
        shipped = files("preceptor.backends.openai").joinpath("prices.toml").read_text(encoding="utf-8")
        tables.append(_TABLE.validate_python(tomllib.loads(shipped)))
    if listed is not None:
        tables.append({address.name: listed})
    for name in names:  # the exact name takes precedence over the user's price of another version
        for table in tables:
            if name in table:
                return table[name]
    return FREE if address.free else None
