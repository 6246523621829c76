"""What an identity provider says of somebody, and what it makes of them here.

Source: OpenID Connect Core 1.0, section 3.1.3.7 (https://openid.net/specs/openid-connect-core-1_0.html); RFC 8725
(which algorithms to take).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engage.access.roles import Role, read_role
from engage.errors import AccessError, ConfigurationError
from engage.settings import Settings

if TYPE_CHECKING:
    from jwt import PyJWKSet

__all__ = ["IdentityProvider", "at_home", "read_id_token", "read_provider"]

_WHERE = "[tool.engage.access.oidc]"
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY = 60  # seconds two clocks may differ
_KNOWN = {
    "issuer", "client_id", "name", "scopes", "role_claim", "roles", "default_role", "email_is_verified",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Who vouches for people, as ``[tool.engage.access.oidc]`` says.

    Args:
        issuer: Its address, exactly as it calls itself.
        client_id: What it calls us.
        name: What people call it, for the button.
        scopes: What is asked for.
        role_claim: Where it tells somebody's groups; with dots into objects (``realm_access.roles``).
        roles: What each group becomes here; empty where accounts have their roles from here alone.
        default_role: What somebody without an account or without such a group becomes; None to refuse them.
        email_is_verified: Take its addresses as verified though it does not say so of each.
    """

    issuer: str
    client_id: str
    name: str
    scopes: tuple[str, ...]
    role_claim: str
    roles: Mapping[str, Role]
    default_role: Role | None
    email_is_verified: bool

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """The most that somebody's groups make of them; None where the groups have no say here.

        Raises:
            AccessError: The groups decide, and none of theirs is one of those named.
        """
        if not self.roles:
            return None
        found: Any = claims
        for part in self.role_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        groups = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        given = [self.roles[group] for group in groups if isinstance(group, str) and group in self.roles]
        role = max(given, key=list(Role).index, default=self.default_role)
        if role is None:
            raise AccessError("none of your groups may come in here", hint="ask an admin to let you in")
        return role

    def email_of(self, claims: Mapping[str, Any]) -> str:
        """Their address; '' where nobody vouches that it is theirs."""
        email, verified = claims.get("email"), claims.get("email_verified")
        vouched = verified in (True, "true") or (verified is None and self.email_is_verified)
        return email if isinstance(email, str) and vouched else ""


def read_provider(settings: Settings) -> IdentityProvider | None:
    """The identity provider of a workspace; None where there is none.

    Raises:
        ConfigurationError: A value is missing or not what it should be.
    """
    given: Mapping[str, Any] = settings.options.get("access", {}).get("oidc", {})
    if not given:
        return None
    if unknown := sorted(given.keys() - _KNOWN):
        raise ConfigurationError(f"there is no {unknown[0]!r}", where=_WHERE, hint=f"there are: {', '.join(_KNOWN)}")
    issuer, client = str(given.get("issuer", "")), str(given.get("client_id", ""))
    if not at_home(issuer):
        hint = 'write e.g. "https://id.example.com"'
        raise ConfigurationError(f"issuer = {issuer!r} is no https address", where=_WHERE, hint=hint)
    if not client:
        raise ConfigurationError("client_id is missing", where=_WHERE, hint="the provider gave you one")
    roles, default = given.get("roles", {}), given.get("default_role")
    if not isinstance(roles, Mapping):
        raise ConfigurationError("roles is no table", where=_WHERE, hint='write roles = { "their group" = "sender" }')
    return IdentityProvider(
        issuer=issuer,
        client_id=client,
        name=str(given.get("name", "")) or str(urlsplit(issuer).hostname),
        scopes=tuple(map(str, given.get("scopes", ("openid", "email", "profile")))),
        role_claim=str(given.get("role_claim", "groups")),
        roles={str(group): read_role(str(role)) for group, role in roles.items()},
        default_role=read_role(str(default)) if default else None,
        email_is_verified=bool(given.get("email_is_verified", False)),
    )


def at_home(url: object) -> bool:
    """Whether an address may be trusted with a sign-in: over TLS, or on this very machine."""
    parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and (parts.scheme == "https" or local)


def read_id_token(token: object, keys: PyJWKSet, provider: IdentityProvider, nonce: str) -> dict[str, Any]:
    """What an id token says, once it is certain that the provider said it, to us, now, and for this sign-in.

    Args:
        token: As it came.
        keys: The provider's public keys.
        provider: Who must have made it.
        nonce: What was sent along when this sign-in began.

    Raises:
        AccessError: It is not to be believed.
    """
    import jwt

    try:
        header = jwt.get_unverified_header(str(token))
        named = header.get("kid")
        found = [key for key in keys.keys if key.key_type in ("RSA", "EC", "OKP") and named in (None, key.key_id)]
        if not found:
            raise AccessError("the identity provider signed with a key it does not publish", hint="try again")
        claims: dict[str, Any] = jwt.decode(
            str(token),
            found[0].key,
            algorithms=_ALGORITHMS,
            audience=provider.client_id,
            issuer=provider.issuer,
            leeway=_LEEWAY,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.PyJWTError as error:
        reason = type(error).__name__.removesuffix("Error")
        raise AccessError(f"the identity provider's word is not to be believed ({reason})", hint="try again") from error
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise AccessError("the identity provider's word is for another sign-in", hint="try again")
    audience = claims["aud"]
    if ("azp" in claims or (isinstance(audience, list) and len(audience) > 1)) and claims.get(
        "azp"
    ) != provider.client_id:
        raise AccessError("the identity provider's word is for another application", hint="try again")
    return claims
