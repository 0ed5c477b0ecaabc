"""Raters and the owner: their invitation tokens and sessions. The database holds only hashes of tokens."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from preceptor.core.errors import UsageError
from preceptor.studio.database import Database, Record, now, stamp

OWNER = "owner"
"""The owner's name as a rater."""
SESSION = timedelta(days=365)
"""How long a session lasts."""
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Rater:
    """A person who rates."""

    id: int
    name: str
    owner: bool
    """Whether they see everything."""


@dataclass(frozen=True)
class Visitor(Rater):
    """A person who is signed in."""

    csrf: str
    """What every form of the session must carry."""


def hashed(token: str) -> str:
    """What the database stores of a token. Tokens have 256 random bits, so a fast hash without salt is safe, and
    looking it up reveals nothing about the token by its timing.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def ensure_owner(people: Database, token: str) -> None:
    """Makes `token` the owner's; an earlier one no longer signs in. Sessions stay."""
    people.write(
        "INSERT INTO raters (name, owner, token_hash, created_at) VALUES (?, 1, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash",
        OWNER, hashed(token), now(),
    )  # fmt: skip


def invite(people: Database, name: str) -> str:
    """Adds a rater, or gives one a new link; an earlier link, and sessions that it began, end. Returns the token of the
    link.

    Raises: UsageError for a name that is empty, too long or the owner's.
    """
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST_NAME or name.lower() == OWNER:
        raise UsageError(f'a rater\'s name has 1 to {_LONGEST_NAME} characters and is not "{OWNER}", got "{name[:80]}"')
    token = secrets.token_urlsafe(32)
    with people.transaction():
        people.write(
            "INSERT INTO raters (name, token_hash, created_at) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash, revoked_at = NULL",
            name, hashed(token), now(),
        )  # fmt: skip
        people.write("DELETE FROM sessions WHERE rater = (SELECT id FROM raters WHERE name = ?)", name)
    return token


def imported_rater(people: Database, name: str) -> int:
    """The id of the rater of this name in another tool, who is added without a link if need be. Nobody there is the
    owner of this studio.
    """
    name = " ".join(name.split())[:_LONGEST_NAME] or "nobody"
    name = f"{name} elsewhere" if name.lower() == OWNER else name
    people.write("INSERT INTO raters (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, now())
    rater = people.one("SELECT id FROM raters WHERE name = ?", name)
    assert rater is not None
    return rater["id"]


def revoke(people: Database, rater: int) -> None:
    """Ends a rater's sessions and link; their ratings stay. The owner cannot be revoked."""
    with people.transaction():
        people.write("UPDATE raters SET token_hash = NULL, revoked_at = ? WHERE id = ? AND NOT owner", now(), rater)
        people.write("DELETE FROM sessions WHERE rater = ? AND rater IN (SELECT id FROM raters WHERE NOT owner)", rater)


def raters(people: Database) -> list[Record]:
    """Every rater with `ratings`, how many they gave: columns of the table `raters`, the owner first."""
    return people.all(
        "SELECT raters.*, (SELECT count(*) FROM ratings JOIN assignments ON assignments.id = assignment "
        "WHERE assignments.rater = raters.id AND undone_at IS NULL) AS ratings FROM raters ORDER BY owner DESC, name"
    )


def sign_in(people: Database, token: str, earlier: str | None = None) -> str | None:
    """Begins a session for whoever holds an invitation's token, and ends the one that the same browser had. Returns the
    session's token, or None for a token that is nobody's.

    Args:
        earlier: the token of the browser's session so far.
    """
    rater = people.one("SELECT id FROM raters WHERE token_hash = ? AND revoked_at IS NULL", hashed(token))
    if rater is None:
        return None
    session = secrets.token_urlsafe(32)
    with people.transaction():
        people.write("DELETE FROM sessions WHERE created_at <= ? OR token_hash = ?", _expired(), hashed(earlier or ""))
        people.write(
            "INSERT INTO sessions VALUES (?, ?, ?, ?)", hashed(session), rater["id"], secrets.token_urlsafe(32), now()
        )
    return session


def visitor(people: Database, session: str) -> Visitor | None:
    """Who a session belongs to; None if it has ended or never began."""
    record = people.one(
        "SELECT raters.id, name, owner, csrf FROM sessions JOIN raters ON raters.id = rater "
        "WHERE sessions.token_hash = ? AND sessions.created_at > ? AND revoked_at IS NULL",
        hashed(session),
        _expired(),
    )
    return None if record is None else Visitor(record["id"], record["name"], bool(record["owner"]), record["csrf"])


def sign_out(people: Database, session: str) -> None:
    """Ends a session."""
    people.write("DELETE FROM sessions WHERE token_hash = ?", hashed(session))


def _expired() -> str:
    """When sessions began that end now."""
    return stamp(datetime.now(UTC) - SESSION)
