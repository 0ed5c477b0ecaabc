"""What all results share: a folder, and the file in it that holds the result. The file does not contain the path."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import ConfigDict, PrivateAttr, ValidationError

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen
from preceptor.core.validation import first_problem
from preceptor.display.table import Table
from preceptor.store.files import read_json, write_json
from preceptor.store.output import Output, output_folder


class Record(Frozen):
    """Part of a file written by this or another version of preceptor. Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Tabular(Frozen):
    """Base of results that are shown as a table: text when printed, HTML in a notebook."""

    def table(self) -> Table:
        """The table."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()  # pyright: ignore[reportPrivateUsage]


class Result(Tabular):
    """Base of what tasks and runs return: the content of one JSON file in their output folder."""

    FILE: ClassVar[str] = "summary.json"
    _output: Output | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        """The folder with this result's files. A temporary folder is deleted with the last result that refers to it.

        Raises: ValueError for a result that belongs to no folder.
        """
        if self._output is None:
            raise ValueError("this result belongs to no folder")
        return self._output.path

    def __fspath__(self) -> str:
        """The folder as text, so that a result can be used where a path is expected."""
        return str(self.path)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads the result from its folder.

        Raises: PreceptorError when the file is missing or damaged; UsageError when it is of another kind or version.
        """
        output = output_folder(folder)
        try:
            return cls.model_validate(read_json(output.path / cls.FILE)).within(output)
        except ValidationError as error:
            raise UsageError(
                f"{output.path / cls.FILE}: is not a {cls.__name__} that this version of preceptor reads: "
                f"{first_problem(error)}"
            ) from error

    def within(self, output: Output) -> Self:
        """The same result, attached to a folder."""
        placed = self.model_copy()
        placed._output = output
        return placed

    def save(self, output: Output) -> Self:
        """Writes the result to its file in an existing folder, and returns it attached to that folder.

        Raises: PreceptorError when the file cannot be written.
        """
        write_json(output.path / self.FILE, self.model_dump(mode="json"))
        return self.within(output)


class ReportedResult(Result):
    """Base of results with a report."""

    REPORT: ClassVar[str] = "report.html"

    @property
    def report(self) -> Path:
        """The report, an HTML page that opens offline.

        Raises: ValueError for a result that belongs to no folder.
        """
        return self.path / self.REPORT
