"""The base class of methods, and how a recipe's method is looked up.

A method is one class: a program that aligns a policy, and the schema of its recipes. The schema
(`preceptor.recipes.base`) answers questions about the settings, such as which judge the policy learns from or whether
training leaves checkpoints, and says in sentences what the method did. It needs no torch, since it is asked before
anything is loaded, and when a report is written anew.

A shipped method is a module of this package and a module of the same name in `preceptor.recipes`. Your own can be
anywhere: a recipe names its class, as `method = "own_method.py:OwnMethod"`; see `examples/own_method.py`.
"""

import inspect
from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from preceptor.core.errors import UsageError
from preceptor.recipes.base import Recipe
from preceptor.recipes.load import schema_of, validated
from preceptor.results.run import RunSummary
from preceptor.store.named_objects import load_object, name_of

if TYPE_CHECKING:
    from preceptor.runs.session import Session

R = TypeVar("R", bound=Recipe)


class Method(ABC, Generic[R]):
    """A way of aligning a policy."""

    schema: ClassVar[type[Recipe]]
    """The schema of the method's recipes; it also describes a finished run in words."""

    @abstractmethod
    def run(self, session: "Session", recipe: R) -> RunSummary:
        """Aligns the policy of a run, resuming where an earlier process stopped. Every process calls it.

        Returns: the summary, as in `summary.json`, in every process.
        Raises: PreceptorError, among them UsageError for a recipe that cannot be run.
        """

    @classmethod
    def name(cls) -> str:
        """The value of a recipe's `method` that names this class."""
        package, _, module = cls.__module__.rpartition(".")
        return module if package == __package__ else name_of(cls)

    @classmethod
    def recipe(cls, **settings: Any) -> R:
        """A recipe of this method: its tables and settings by name, as in a recipe file.

        Raises: UsageError naming the setting that is wrong.
        """
        return cast("R", validated(cls.__name__, cls.schema, {**settings, "method": cls.name()}))


def find_method(name: str) -> Method[Any]:
    """The method that a recipe's `method` names. Shipped methods import torch.

    Raises: UsageError when there is none.
    """
    schema_of(name)
    if ":" in name:
        owner: Any = load_object(name, "the method", "ClassName")
        if not (inspect.isclass(owner) and issubclass(owner, Method)):
            raise UsageError(f'the method "{name}": expected a subclass of preceptor.methods.base.Method')
    else:
        module = import_module(f"{__package__}.{name}")
        [owner] = [value for value in vars(module).values() if _is_defined_in(value, module.__name__)]
    if inspect.isabstract(owner):
        missing = ", ".join(sorted(owner.__abstractmethods__))
        raise UsageError(f'the method "{name}": the class does not define {missing}')
    return owner()


def _is_defined_in(thing: Any, module: str) -> bool:
    return inspect.isclass(thing) and issubclass(thing, Method) and thing.__module__ == module
