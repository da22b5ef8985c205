"""Reading the environment: what is junk is refused at boot, by name, with what it should be."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class Environment(environ.Env):
    """django-environ's reader, with errors that name the variable and what it should be.

    Values of the process's own environment win over those of the file `env` in $BACKROOM_VAR.
    """

    def checked(self, kind: str, name: str, **options):
        """One value by django-environ's cast `kind`. Raises ImproperlyConfigured, never showing the value: it may
        be a secret."""
        try:
            return getattr(self, kind)(name, **options)
        except ImproperlyConfigured:
            raise ImproperlyConfigured(f"{name} is not set, and this process can't run without it.") from None
        except Exception:
            raise ImproperlyConfigured(f"{name} is set to something that is not a {kind}.") from None

    def flag(self, name: str, default: bool) -> bool:
        """True or false. Raises ImproperlyConfigured for anything else: a slip must not switch safety off or on."""
        value = self.checked("str", name, default=str(default)).lower()
        if value not in FLAGS:
            raise ImproperlyConfigured(f"{name} should be true or false.")
        return FLAGS[value]

    def addresses(self, name: str) -> list[str]:
        """Mail addresses with commas between them; none where it is not set. Raises ImproperlyConfigured."""
        found = [address.strip() for address in self.checked("str", name, default="").split(",") if address.strip()]
        try:
            for address in found:
                validate_email(address)
        except ValidationError:
            raise ImproperlyConfigured(f"{name} should be mail addresses, with commas between them.") from None
        return found

    def rate(self, name: str, default: float) -> float:
        """So many a second, above 0; 0.5 is one in two seconds. Raises ImproperlyConfigured."""
        value = self.checked("float", name, default=default)
        if not 0 < value <= 1_000_000:  # "nan" is no float between them either
            raise ImproperlyConfigured(f"{name} should be calls a second, above 0 (0.5 is one in two seconds).")
        return value

    def address(self, name: str, schemes: tuple[str, ...], default: str | None = None) -> str:
        """A URL with one of the schemes, a host and a sane port. Raises ImproperlyConfigured."""
        value = self.checked("str", name, **({} if default is None else {"default": default}))
        example = f"{schemes[0]}://host:port"
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 - raises ValueError where the port is no number
        except ValueError:
            raise ImproperlyConfigured(f"{name} is no URL: it should look like {example}.") from None
        if parts.scheme not in schemes or not parts.hostname:
            raise ImproperlyConfigured(f"{name} should look like {example} (schemes: {', '.join(schemes)}).")
        return value


def read(base: Path) -> tuple[Environment, Path]:
    """The environment and the folder $BACKROOM_VAR, whose file `env` fills in what is not set."""
    var = Path(os.environ.get("BACKROOM_VAR") or base / "var").resolve()
    environ_file = var / "env"
    if environ_file.is_file():
        try:
            Environment.read_env(environ_file)
        except OSError as error:
            sys.exit(f"{environ_file} can't be read ({error.strerror}): run this as the user who ran make demo.")
    return Environment(), var
