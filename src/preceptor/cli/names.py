"""Names for shell completion: what ships with preceptor."""


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes that begin with this text."""
    from preceptor.recipes.load import shipped_recipes

    return _beginning(shipped_recipes(), incomplete)


def arms(incomplete: str) -> list[str]:
    """Shipped sets of arms that begin with this text."""
    from preceptor.recipes.load import shipped_arms

    return _beginning(shipped_arms(), incomplete)


def scales(incomplete: str) -> list[str]:
    """Scales that begin with this text."""
    from preceptor.recipes.load import shipped_scales

    return _beginning(shipped_scales(), incomplete)


def constitutions(incomplete: str) -> list[str]:
    """Shipped constitutions that begin with this text."""
    from preceptor.judging.constitution import shipped_constitutions

    return _beginning(shipped_constitutions(), incomplete)


def tables(incomplete: str) -> list[str]:
    """Tables of the paper that begin with this text."""
    from preceptor.methods.paper.registry import TABLES

    return _beginning([table.name for table in TABLES], incomplete)


def benchmarks(incomplete: str) -> list[str]:
    """Benchmarks of judges that begin with this text."""
    from typing import get_args

    from preceptor.store.benchmarks.read import BenchmarkName
    from preceptor.store.benchmarks.steps import StepBenchmarkName

    return _beginning([*get_args(BenchmarkName), *get_args(StepBenchmarkName)], incomplete)


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
