"""What every page can use: the folders, what people say, and who is asking."""

from pathlib import Path
from typing import cast

from starlette.requests import Request

from preceptor.studio.cohorts.sources import Sources
from preceptor.studio.constitutions.drafts import Trials
from preceptor.studio.constitutions.versions import Version, versions
from preceptor.studio.database import Database
from preceptor.studio.folders import Library
from preceptor.studio.people.live import LiveFiles
from preceptor.studio.people.measured import Measurements
from preceptor.studio.people.raters import Visitor
from preceptor.studio.rows.index import RowIndex
from preceptor.studio.rows.rated import RatedRows
from preceptor.studio.runs.state import Runs


class Studio:
    """The application's state. Two studios in one process share none of it."""

    def __init__(self, library: Library, people: Database, data: Path) -> None:
        """A studio that does nothing in the background until it is started.

        Args:
            library: the folders that preceptor wrote.
            people: what people say.
            data: the studio's own folder.
        """
        self.library = library
        self.people = people
        self.data = data
        self.live = LiveFiles(people, data / "people")
        self.measurements = Measurements(people, library)
        self.rated = RatedRows(people)
        self.index = RowIndex(data / "index.sqlite", library)
        self.runs = Runs()
        self.trials = Trials(data / "trials")
        self.cohorts = Sources()

    @property
    def saved_constitutions(self) -> Path:
        """The folder of versions that were saved in the studio."""
        return self.data / "constitutions"

    def versions(self) -> list[Version]:
        """Every version of a constitution that is known here."""
        return versions(self.library, self.saved_constitutions)

    def start(self) -> None:
        """Begins what runs in the background: files of people's rows are kept up to date, rows are indexed."""
        self.live.start()
        self.index.refresh()

    def stop(self) -> None:
        """Ends what runs in the background, after people's rows are written."""
        self.live.stop()
        self.index.stop()


def studio_of(request: Request) -> Studio:
    """The application's state."""
    return cast("Studio", request.app.state.studio)


def visitor_of(request: Request) -> Visitor:
    """Who is asking; every route that `pages.py` makes has checked that somebody is signed in."""
    return cast("Visitor", request.state.visitor)
