"""Files of results of RewardBench and AlpacaEval, and AlpacaEval's model outputs."""

import json
from pathlib import Path
from typing import Any

import preceptor as pc


def read_rows(path: str | Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a file of model outputs: JSON lines, a JSON list, or Parquet.

    Raises: UsageError when the file cannot be read, or a row lacks a column.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            rows: list[Any] = pq.read_table(path).to_pylist()
        else:
            text = path.read_text(encoding="utf-8").strip()
            lines = text.splitlines()
            rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise pc.UsageError(f"{path}: cannot be read: {error}") from error
    for number, row in enumerate(rows, start=1):
        missing = [name for name in columns if not isinstance(row, dict) or name not in row]
        if missing:
            raise pc.UsageError(f"{path}, row {number}: no {', '.join(missing)}; expected {', '.join(columns)}")
    return rows


def write_json(path: Path, content: Any) -> Path:
    """Writes a JSON file as both packages lay it out, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def check_complete(labels: pc.LabelResult) -> None:
    """Checks that every row was judged, since neither package has a value for a judge that failed.

    Raises: UsageError with the number of rows that have no preference.
    """
    if missing := len(labels.failures) + len(labels.malformed):
        raise pc.UsageError(f"{missing} rows of {labels.path} have no preference: label again into the same folder")
