"""Settings that programs make directly: a wrong one is reported as in a file of settings."""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen
from preceptor.core.validation import explain

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _Explaining
else:

    class _Explaining(type(Frozen)):
        """Reports what is wrong when settings are made by calling their class. Validation inside other settings is not
        concerned: there the place of the mistake is part of the message.
        """

        def __call__(self, *arguments: object, **settings: object) -> object:
            if arguments:
                first = next(iter(self.model_fields))
                raise UsageError(f"{self.__name__}: give settings by name, such as {self.__name__}({first}=...)")
            try:
                return super().__call__(*arguments, **settings)
            except ValidationError as error:
                raise UsageError(f"{self.__name__}: {explain(error, self)}") from error


class Settings(Frozen, metaclass=_Explaining):
    """Base of settings that programs make.

    Raises: UsageError that names the setting, what was given and what was expected.
    """
