"""The table by which a recipe asks for a judge with a licence to train."""

from pydantic import model_validator

from preceptor.core.types import Flag
from preceptor.evaluation.judges.licence import LicenceTerms
from preceptor.recipes.settings import FileName


class LicenceSettings(LicenceTerms):
    """The licence that the training judge needs, and its terms. Nothing is asked for while the policy is the embedded
    model, which is for trying things, and no file is named.
    """

    file: FileName | None = None
    """A licence that `preceptor audit --licence` wrote."""
    drift: Flag = True
    """Whether to ask the judge some questions of the audit again: it has to be the model that was audited."""
    waived: Flag = False
    """Start without a licence, or with one that falls short; the report and the model card say so first."""

    @model_validator(mode="after")
    def _has_a_file_or_none(self) -> "LicenceSettings":
        if self.file is not None and not self.file.endswith(".toml"):
            raise ValueError(f"file = {self.file!r}: expected a .toml file that an audit wrote")
        return self
