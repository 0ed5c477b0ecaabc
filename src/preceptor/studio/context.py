"""What every page can use: the folders, what people say, and who is asking."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from starlette.requests import Request

from preceptor.studio.database import Database
from preceptor.studio.folders import Library
from preceptor.studio.people.raters import Visitor


@dataclass(frozen=True)
class Studio:
    """The application's state."""

    library: Library
    """The folders that preceptor wrote."""
    people: Database
    """What people say."""
    data: Path
    """The studio's own folder."""


def studio_of(request: Request) -> Studio:
    """The application's state."""
    return cast("Studio", request.app.state.studio)


def visitor_of(request: Request) -> Visitor:
    """Who is asking; every route that `pages.py` makes has checked that somebody is signed in."""
    return cast("Visitor", request.state.visitor)
