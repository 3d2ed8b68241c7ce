"""The sessions themselves: a `boto3.Session` whose credentials a `Refresher` keeps fresh."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import boto3
from botocore.credentials import CredentialProvider, CredentialResolver
from botocore.session import Session

from .._version import __version__
from ..chain import RoleChain
from ..fork import ForkSafeLock
from ..refresh import Refresher
from ..sources.clients import sts_client
from ..sources.redaction import redact_logs
from ..sources.upstream import botocore_session
from .credentials import RefreshingCredentials
from .hooks import builtin_hooks
from .inherit import inherit, link_region
from .presign import Presigning
from .recipe import Recipe, Region
from .rejections import Rejections

try:
    from botocore.useragent import register_feature_ids
except ImportError:  # botocore before 1.38 reports no features

    def register_feature_ids(feature_ids: Iterable[str]) -> None:
        """Do nothing: this botocore has no feature ids."""


def note_features(feature_ids: Iterable[str]) -> None:
    """Have the user agent of the client that is being made say where its credentials are from."""
    register_feature_ids(feature_ids)


#: Says what pickle keeps of a session. What opens it again needs this module, and so introduces
#: itself here.
packer: Callable[[RoleSession], tuple[Any, ...]] | None = None


class RoleSession(boto3.Session):
    """A `boto3.Session` that acts as a role and never expires.

    It pickles as its chain, its region, its refresh policy and the configuration variables that
    were set on it, never with keys: another process assumes the role itself.

    Attributes:
        assume_role_parent_session: The session that assumes the role.
        chain: Origin and roles; None for a session of `refreshable_session`.
    """

    assume_role_parent_session: Any
    chain: RoleChain | None
    _child: Child

    @property
    def _recipe(self) -> Recipe:
        return self._child.recipe

    def get_credentials(self) -> RefreshingCredentials:
        """Return the session's one credentials object."""
        return cast(RefreshingCredentials, super().get_credentials())

    def __reduce__(self) -> tuple[Any, ...]:
        if packer is None:
            raise RuntimeError("nothing can pack a session yet: import rolecall.sessions first")
        return packer(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> RoleSession:
        return self

    def __copy__(self) -> RoleSession:
        return self


class _Child(Session):
    """A botocore session that notes in the user agent where its credentials are from."""

    features: tuple[str, ...] = ()

    def get_credentials(self) -> Any:
        note_features(self.features)
        return super().get_credentials()


class _Provider(CredentialProvider):
    """Hands out one credentials object, always the same."""

    CANONICAL_NAME = None

    def __init__(self, credentials: RefreshingCredentials) -> None:
        super().__init__()
        self.METHOD = credentials.method
        self._credentials = credentials

    def load(self) -> RefreshingCredentials:
        return self._credentials


class NoToken:
    """A role session has no bearer token; its parent's is not its own."""

    def load_token(self, **_: Any) -> None:
        return None


_loader_lock = ForkSafeLock()  # guards the shared loader's search path


@contextmanager
def as_short_a_path(loader: Any) -> Iterator[None]:
    """Let boto3 add its own folder to *loader*'s search path no more than once.

    It does so with every session. The loader is shared, so that the path would grow without end.
    """
    with _loader_lock:
        paths = loader.search_paths
        before = len(paths)
        yield
        for added in paths[before:]:
            if added in paths[:before]:
                del paths[len(paths) - 1 - paths[::-1].index(added)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Child:
    """A session that need not be made yet: all it takes.

    Attributes:
        refresher: What keeps its credentials.
        parent: The session whose configuration it takes over.
        method: Where the credentials are from, as botocore calls it.
        identity: Who it is, for the keys of shared caches.
        features: botocore's user-agent feature ids.
        shown_parent: What the child calls its parent, if not *parent*.
    """

    refresher: Refresher
    parent: Any
    method: str
    identity: Callable[[], str] | str
    features: tuple[str, ...]
    recipe: Recipe
    chain: RoleChain | None
    shown_parent: Any = None


_REFUSAL = "rolecall_refusal"


def refuse_calls(session: Session, refuse: Callable[..., None]) -> None:
    """Have *refuse* called before each call of *session*'s clients, and of its children's."""
    session.register_component(_REFUSAL, refuse)
    session.register("before-call", refuse)
    session.register("before-send", refuse)  # of a request that is sent again


def refuse_like(parent: Session, child: Session) -> None:
    """Refuse *child* what its *parent* is refused."""
    try:
        refuse = parent.get_component(_REFUSAL)
    except ValueError:  # botocore's word for: no such component
        return
    refuse_calls(child, refuse)


def open_child(of: Child, *, loader: Any = None) -> RoleSession:
    """Return the session that *of* describes.

    Args:
        loader: Loads its service models. None: the parent's.
    """
    redact_logs()
    inner, recipe = botocore_session(of.parent), of.recipe
    child = _Child(event_hooks=builtin_hooks(), include_builtin_handlers=False)
    child.features = of.features
    child.user_agent_extra = f"rolecall/{__version__}"
    loader = inner.get_component("data_loader") if loader is None else loader
    child.register_component("data_loader", loader)
    child.register_component("token_provider", NoToken())
    if recipe.inherit_config:
        inherit(child, inner)
    set_region(child, inner, recipe.region_name, inherit_config=recipe.inherit_config)

    credentials = RefreshingCredentials(
        of.refresher,
        method=of.method,
        identity=of.identity,
        client=lambda: sts_client(child, recipe.sts_client_kwargs),
    )
    child.register_component("credential_provider", CredentialResolver([_Provider(credentials)]))
    refuse_like(inner, child)
    Rejections(lambda: of.refresher).register(child)
    Presigning(lambda: of.refresher).register(child)

    with as_short_a_path(loader):
        session = RoleSession(
            botocore_session=child,
            region_name=recipe.region_name if isinstance(recipe.region_name, str) else None,
        )
    session.assume_role_parent_session = of.parent if of.shown_parent is None else of.shown_parent
    session.chain = of.chain
    session._child = of
    return session


def set_region(
    child: Session, parent: Session, region_name: Region, *, inherit_config: bool
) -> None:
    """Give *child* the region that *region_name* stands for; a str is boto3's to set."""
    if region_name is None:
        link_region(child, parent)
    elif region_name is True:
        region = parent.get_config_variable("region")
        if region is None:
            link_region(child, None)
        else:
            child.set_config_variable("region", region)
    elif region_name is False and inherit_config:
        # The profile came along for its services sections, not for its region.
        link_region(child, None)
