"""Configurations of accelerate: what accelerate reads from them, and what is refused."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from preceptor.core.errors import UsageError
from preceptor.tasks.engine_config import Sharding, engine_config

KINDS: dict[Sharding, str] = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "deepspeed": "DEEPSPEED"}


@pytest.mark.parametrize("sharding", get_args(Sharding))
def test_accelerate_reads_what_was_written(sharding: Sharding, tmp_path: Path) -> None:
    config_args: Any = pytest.importorskip("accelerate.commands.config.config_args")
    written = engine_config(sharding, processes=4, out=tmp_path / "new" / "several.yaml")
    assert written.file is not None
    read = config_args.load_config_from_file(str(written.file))
    assert (read.distributed_type.value, read.num_processes) == (KINDS[sharding], 4)
    assert read.mixed_precision == "no"
    assert yaml.safe_load(written.text) == written.values
    assert str(written.file) in str(written)


@pytest.mark.parametrize("sharding", get_args(Sharding))
def test_accelerate_launch_takes_every_setting(sharding: Sharding, tmp_path: Path) -> None:
    launch: Any = pytest.importorskip("accelerate.commands.launch")
    file = engine_config(sharding, processes=2, out=tmp_path / "several.yaml").file
    asked = launch.launch_command_parser().parse_args(["--config_file", str(file), "train.py"])
    nested = ("fsdp_config", "deepspeed_config")
    names = {key for name, value in yaml.safe_load(Path(str(file)).read_text()).items()
             for key in (value if name in nested else [name])}  # fmt: skip
    known = vars(asked)
    assert {name for name in names if name not in known} <= {"compute_environment", "distributed_type", "use_cpu"}
    args, _, _ = launch._validate_launch_command(asked)
    chosen = {"ddp": args.multi_gpu, "fsdp2": args.use_fsdp, "deepspeed": args.use_deepspeed}
    assert [name for name, used in chosen.items() if used] == [sharding]
    assert args.num_processes == 2
    if sharding == "fsdp2":
        assert int(args.fsdp_version) == 2


def test_without_a_file_the_configuration_is_shown_with_what_it_needs() -> None:
    shown = str(engine_config("fsdp2", processes=2))
    assert yaml.safe_load(shown)["fsdp_config"]["fsdp_version"] == 2
    assert "# needs CUDA" in shown


def test_what_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kept.yaml"
    kept.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        engine_config("ddp", processes=2, out=kept)
    assert kept.read_text() == "mine"
    with pytest.raises(UsageError, match=r"\.yaml"):
        engine_config("ddp", processes=2, out=tmp_path / "several.txt")
    with pytest.raises(UsageError, match="1 processes"):
        engine_config("ddp", processes=1)
    with pytest.raises(UsageError, match="fsdp2"):
        engine_config("fsdp", processes=2)  # pyright: ignore[reportArgumentType]
