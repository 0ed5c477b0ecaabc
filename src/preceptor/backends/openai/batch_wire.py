"""What a batch endpoint says: files, batches and answers. Whatever has another form is an error in words."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import from_json, to_json

from preceptor.backends.openai.answers import Count
from preceptor.backends.openai.transport import StatusError, UnreadableError
from preceptor.core.types import JsonObject
from preceptor.core.validation import first_problem

Shape = TypeVar("Shape", bound=BaseModel)
Name = Annotated[str, Field(pattern=r"^[\w.:-]{1,200}$")]
"""The server's name for a file or a batch, which becomes a part of a path."""


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


def _name_or_none(value: Any) -> Any:
    return value or None


class Named(BaseModel):
    """A file or a batch."""

    id: Name


class _Counts(BaseModel):
    total: Count = 0
    completed: Count = 0


class Served(BaseModel):
    """A batch as the server has it."""

    status: str
    output_file_id: Annotated[Name | None, BeforeValidator(_name_or_none)] = None
    error_file_id: Annotated[Name | None, BeforeValidator(_name_or_none)] = None
    request_counts: Annotated[_Counts, BeforeValidator(_object)] = _Counts()
    errors: Any = None

    @property
    def reason(self) -> str:
        """Why it failed, in the server's words; empty if it does not say."""
        listed = _object(self.errors).get("data")
        first = _object(listed[0]) if isinstance(listed, list) and listed else {}
        return " ".join(str(first.get(name) or "") for name in ("code", "message")).strip()


class Listed(BaseModel):
    """The latest batches."""

    data: list[Any] = []

    def marked(self, mark: str) -> str | None:
        """The id of the batch that was created with this mark and has not failed; None if there is none."""
        for batch in map(_object, self.data):
            if _object(batch.get("metadata")).get("preceptor") != mark:
                continue
            if batch.get("status") not in ("failed", "cancelled"):
                return read(Named, to_json(batch)).id
        return None


def read(shape: type[Shape], body: bytes) -> Shape:
    """An answer about files or batches.

    Raises: UnreadableError when it has another form.
    """
    try:
        return shape.model_validate(from_json(body))
    except ValidationError as error:
        problem = first_problem(error)[:200]
    except (ValueError, RecursionError):
        problem = "not JSON"
    raise UnreadableError(f"expected {shape.__name__.lower()} files or batches ({problem})")


def content_of(line: JsonObject) -> bytes:
    """The body of an answer in a batch's file.

    Raises: StatusError for an error in its place; UnreadableError.
    """
    response, error = _object(line.get("response")), _object(line.get("error"))
    status = response.get("status_code")
    if status == 200:
        try:
            return to_json(response.get("body"))
        except ValueError:
            raise UnreadableError("the answer is nested too deeply, or holds half of a character") from None
    if error:
        words = " ".join(str(error.get(name) or "") for name in ("message", "code"))
        raise StatusError(408 if error.get("code") == "batch_expired" else 500, words)
    refused = _object(response.get("body")).get("error") or "no reason"
    words = str(_object(refused).get("message") or refused)
    raise StatusError(status if isinstance(status, int) and 400 <= status < 600 else 500, words)
