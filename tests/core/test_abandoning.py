"""Work whose result is no longer wanted."""

import threading

from preceptor.core.abandoning import Work, current_work


def test_who_does_the_work_is_told_once_it_is_abandoned() -> None:
    work = Work()
    told: list[str] = []
    with work.under_way(), current_work().telling(lambda: told.append("inner")):
        assert current_work().wanted
        leaving = threading.Thread(target=work.abandon)
        leaving.start()
        leaving.join()
        assert not current_work().wanted
    work.abandon()
    assert told == ["inner"]


def test_other_work_is_not_concerned() -> None:
    with Work().under_way():
        current_work().abandon()
    assert current_work().wanted
