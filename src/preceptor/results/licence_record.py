"""Whether a run's judge had a licence to train, as its summary keeps it."""

from preceptor.core.numbers import percent
from preceptor.results.base import Record


class LicenceRecord(Record):
    """Whether the judge of training had a licence."""

    file: str | None = None
    """Name of the licence's file; None if none was named."""
    why: tuple[str, ...] = ()
    """Why the judge was not licensed; empty if it was."""
    issued: str | None = None
    data: str | None = None
    """Name of the labels by which it was audited."""
    rows: int | None = None
    alignment: float | None = None

    @property
    def sentence(self) -> str:
        """What a reader has to know first, or what the licence rests on."""
        if self.why:
            return f"The judge had no licence to train: {'; '.join(self.why)}"
        agreed = f"it agreed with people in {percent(self.alignment)} of {self.rows} rows of {self.data}"
        return f"The judge was licensed on {self.issued}: {agreed}"
