from pathlib import Path

import pytest

from preceptor.core.errors import PreceptorError
from preceptor.store.lock import exclusive


def test_one_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(PreceptorError, match="another process"), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass
