"""What a child session takes over from its parent: region, endpoints, FIPS, proxies, retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.config import Config
from botocore.configprovider import (
    BaseProvider,
    ChainProvider,
    ConstantProvider,
    InstanceVarProvider,
)
from botocore.session import Session

#: Never linked: the profile is copied (it cannot change in a live session), the region has rules
#: of its own.
_OWN = frozenset({"profile", "region"})


class Inherited(BaseProvider):
    """A parent session's value of a configuration variable, looked up each time."""

    def __init__(self, name: str, parent: Session, default: Any = None) -> None:
        self.name = name
        self._parent = parent
        self._default = default

    def provide(self) -> Any:
        """Return the parent's value; None where it is the default, which smart defaults replace."""
        value = self._parent.get_config_variable(self.name)
        return None if value == self._default else value

    def __deepcopy__(self, memo: dict[int, Any]) -> Inherited:
        # botocore copies the providers of a client; the parent is not theirs to copy.
        return self

    def __repr__(self) -> str:
        return f"Inherited({self.name!r})"


class _OwnRegion(BaseProvider):
    """The region a session without a parent would have."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def provide(self) -> Any:
        if self._session is None:
            self._session = Session()
        return self._session.get_config_variable("region")

    def __deepcopy__(self, memo: dict[int, Any]) -> _OwnRegion:
        return self

    def __repr__(self) -> str:
        return "_OwnRegion()"


def inherit(
    child: Session,
    parent: Session,
    as_config: Callable[[Config], Config] | None = None,
    *,
    profile: bool = True,
) -> None:
    """Link every configuration variable of *child* but the region to *parent*.

    The child's own ``set_config_variable`` wins. Sections of the configuration file
    (``services``, ``s3``, ``proxies``) are read by profile, so the profile goes along.

    Args:
        as_config: Makes of the parent's client configuration what the child's clients take.
        profile: Whether the profile goes along.
    """
    named = parent.get_config_variable("profile") if profile else None
    if named is not None:
        child.set_config_variable("profile", named)
    store = child.get_component("config_store")
    for name in parent.session_var_map:
        if name in _OWN:
            continue
        _, _, default, convert = parent.session_var_map[name]
        chain = [InstanceVarProvider(name, child), Inherited(name, parent, default)]
        if default is not None:
            chain.append(ConstantProvider(default))
        store.set_config_provider(name, ChainProvider(chain, conversion_func=convert))
    config = parent.get_default_client_config()
    if config is not None:
        child.set_default_client_config(config if as_config is None else as_config(config))


def plain_config(config: Config) -> Config:
    """Return *config* without what only asynchronous clients know."""
    if type(config) is Config:
        return config
    chosen = {name: getattr(config, name, usual) for name, usual in Config.OPTION_DEFAULTS.items()}
    usual = Config()
    return Config(
        **{name: value for name, value in chosen.items() if value != getattr(usual, name, None)}
    )


def link_region(child: Session, parent: Session | None) -> None:
    """Let *child* follow *parent*'s region as it changes; None: the one it would have alone."""
    provider = _OwnRegion() if parent is None else Inherited("region", parent)
    child.get_component("config_store").set_config_provider(
        "region", ChainProvider([InstanceVarProvider("region", child), provider])
    )
